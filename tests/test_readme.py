"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from gesso.agent import Agent
from gesso.agent.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert match, language
    return match[1]


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block("python"), "README.md", "exec"), {})
    assert "'total':" in capsys.readouterr().out


def test_the_agent_shown_is_the_bundled_one(tmp_path: Path) -> None:
    bundled = (ROOT / "agent" / "demo" / "agents" / "receipts.md").read_text(encoding="utf-8")
    assert block("markdown") == bundled
    assert yaml.safe_load(bundled.split("---")[1])["name"] == "receipts"
    file = tmp_path / "receipts.md"
    file.write_text(bundled)
    assert Agent.load(file).name == "receipts"


def test_every_command_shown_exists() -> None:
    commands = {
        command.callback.__name__ for command in app.registered_commands if command.callback
    }
    commands |= {
        str(group.typer_instance.info.name)
        for group in app.registered_groups
        if group.typer_instance
    }
    shown = set(re.findall(r"`gesso (\w+)", README))
    assert shown <= commands


def test_the_make_targets_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", README)) <= targets
