"""Projects on disk for the agent room's tests, and the command line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gesso.agent.cli import main

AGENT = """\
---
name: clerk
tools: [read_file, save_record]
record:
  company: {type: string, description: Company}
---
Save what you read.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one agent and an empty inbox."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    return tmp_path


@pytest.fixture
def write_agent(project: Path) -> Callable[..., Path]:
    """Replace the project's agent: front matter lines, then instructions."""

    def write(front: str, body: str = "Do it.") -> Path:
        path = project / "agents" / "clerk.md"
        path.write_text(f"---\n{front.strip()}\n---\n{body}\n")
        return path

    return write


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call `gesso …`; its exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gesso", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return exited.value.code, captured.out, captured.err

    return call
