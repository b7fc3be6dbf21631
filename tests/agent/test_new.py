"""`gesso new`: the file that it writes is whole, and runs."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from gesso.agent import Agent, Runtime
from gesso.agent.agent import Budget
from gesso.agent.cli import main
from gesso.agent.trigger import KINDS, FolderTrigger, known_fields
from gesso.tools import Registry, Rules

RECEIPT = "BRANDT HARDWARE\nDate: 2026-03-14\nHammer 12.50\nTotal 12.50\n"


@pytest.fixture
def new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Call `gesso new …`; its exit code and what it prints."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gesso", "new", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return exited.value.code, captured.out + captured.err

    return call


def test_the_file_runs_on_sketch_as_it_is(
    new: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, said = new("my-clerk", "--project", str(tmp_path))
    assert (code, said.count("\n")) == (0, 1)
    agent = Agent.load(tmp_path / "agents" / "my-clerk.md")
    assert (agent.name, agent.model) == ("my-clerk", "sketch")
    assert agent.triggers == [FolderTrigger(folder="inbox", pattern="*.txt")]
    (tmp_path / "inbox" / "a.txt").write_text(RECEIPT)
    with Runtime(tmp_path, listen=False) as runtime:
        runtime.load()
        ended = runtime.run("my-clerk", "New file: inbox/a.txt")
        (record,) = runtime.store.records()
    assert (ended.state, ended.reason) == ("done", None)
    assert list(record.data) == ["company", "date", "total"]


def test_the_file_shows_every_field_each_with_a_comment(
    new: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    new("clerk", "--project", str(tmp_path))
    text = (tmp_path / "agents" / "clerk.md").read_text()
    front = text.split("---\n")[1]
    shown = yaml.safe_load(front)
    assert set(shown) == set(Agent.model_fields) - {"instructions"}
    assert set(shown["permissions"]) == set(Rules.model_fields)
    assert set(shown["budget"]) == set(Budget.model_fields)
    for kind in KINDS:
        for field in known_fields(kind):
            assert f"{field}: " in front, (kind, field)
    lines = front.splitlines()
    for field in shown:
        assert lines[lines.index(next(n for n in lines if n.startswith(field))) - 1].startswith("#")
    for tool in Registry().names:
        assert tool in front or tool == "read_skill"
    commented = [line.removeprefix("  # ") for line in lines if line.startswith("  # ")]
    for kind in KINDS:
        if kind != "folder":
            assert any(line.startswith(f"- {kind}: ") for line in commented)


def test_its_examples_can_be_taken_as_they_are(
    new: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    new("clerk", "--project", str(tmp_path))
    path = tmp_path / "agents" / "clerk.md"
    lines = [
        line.replace("  # ", "  ", 1) if line.startswith(("  # - ", "  #   ")) else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines))
    assert [type(trigger) for trigger in Agent.load(path).triggers] == list(KINDS.values())


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["clerk", "--project", "{project}"], 2, "clerk.md: is there already; nothing was written"),
        (["Clerk"], 2, "Clerk: is no name: it begins with a small letter"),
        (["../clerk"], 2, "../clerk: is no name"),
        (["other", "--project", "{project}/nowhere"], 2, "nowhere: no such folder"),
    ],
)
def test_what_it_refuses(
    new: Callable[..., tuple[int, str]], project: Path, arguments: list[str], code: int, line: str
) -> None:
    before = (project / "agents" / "clerk.md").read_text()
    assert new(*[text.format(project=project) for text in arguments])[0] == code
    assert line in new(*[text.format(project=project) for text in arguments])[1]
    assert (project / "agents" / "clerk.md").read_text() == before
