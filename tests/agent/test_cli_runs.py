"""The commands about runs and the inbox, as a person types them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gesso.agent import Runtime
from gesso.agent.cli import app
from gesso.memory import Store
from scripted import calls, engine, says
from typer.testing import CliRunner, Result


@pytest.fixture
def command(project: Path) -> Callable[..., Result]:
    def command(*words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--project", str(project)])

    return command


@pytest.fixture
def run(project: Path, write_agent: Callable[..., Path]) -> str:
    """A run that asks the person."""
    write_agent("name: clerk\ntools: [list_files, ask_person]")
    turns = [calls(("list_files", {"folder": "."}), ("ask_person", {"question": "Which year?"}))]
    with Runtime(project, engine=engine(*turns, says("ok")), listen=False) as runtime:
        runtime.load()
        return runtime.run("clerk", "hello").id


def test_the_inbox_shows_what_waits_and_takes_an_answer(
    run: str, command: Callable[..., Result], project: Path
) -> None:
    shown = command("inbox")
    assert "1  question  clerk" in shown.output
    assert "Which year?" in shown.output
    (entry,) = json.loads(command("inbox", "--json").output)
    assert (entry["id"], entry["run"], entry["kind"]) == (1, run, "question")
    refused = command("approve", "1")
    assert refused.exit_code == 2
    assert 'gesso approve 1 "ANSWER"' in " ".join(refused.output.replace("│", "").split())
    assert command("approve", "1", "2026").output.startswith("approved: Which year?")
    assert command("inbox").output == "Nothing waits.\n"
    assert command("deny", "1").exit_code == 1
    with Store(project / ".gesso" / "store.db") as store:
        (entry,) = store.inbox.entries(open_only=False)
    assert (entry.verdict, entry.note) == ("approved", "2026")


def test_runs_logs_and_trace_tell_what_happened(run: str, command: Callable[..., Result]) -> None:
    (listed,) = json.loads(command("runs", "--json").output)
    assert (listed["id"], listed["state"]) == (run, "waiting")
    assert json.loads(command("runs", "--json", "--state", "done").output) == []
    assert command("runs", "--state", "asleep").exit_code == 2
    lines = [line["what"] for line in json.loads(command("logs", run[:9], "--json").output)]
    assert lines[0] == "queued: manual"
    assert "turn 0: 100 + 20 tokens, 9 steps, 0.75 s" in lines
    assert "inbox 1: question: Which year?" in lines
    assert lines[-1] == "waiting: asks: Which year?"
    traced = json.loads(command("trace", run, "--json").output)
    (turn,) = traced["turns"]
    assert [message["role"] for message in turn["added"]] == ["system", "user"]
    assert [event["kind"] for event in turn["calls"][0]["events"]] == [
        *("allow", "begun", "finished")
    ]
    assert turn["calls"][1]["result"] is None
    assert turn["usage"]["output_tokens"] == 20
    text = command("trace", run).output
    assert 'call: list_files({"folder": "."})' in text
    assert "result: (none yet)" in text


def test_a_run_is_cancelled_by_how_its_name_begins(
    run: str, command: Callable[..., Result]
) -> None:
    assert command("cancel", "clerk").output == f"{run}: cancel\n"
    again = command("resume", run)
    assert again.exit_code == 1
    assert "is cancelled, and cannot be resumed" in str(again.exception)
    assert "there is no such run" in str(command("pause", "nobody").exception)


def test_an_agent_is_told(project: Path, command: Callable[..., Result]) -> None:
    assert command("tell", "clerk", "Good morning").output == "told clerk\n"
    with Store(project / ".gesso" / "store.db") as store:
        (letter,) = store.mail.waiting()
    assert (letter.agent, letter.sender, letter.text) == ("clerk", "person", "Good morning")
    unknown = command("tell", "clark", "Good morning")
    assert "unknown agent clark; known are clerk" in str(unknown.exception)


def test_where_nothing_has_run_the_commands_say_so(command: Callable[..., Result]) -> None:
    assert "nothing has run here yet" in str(command("inbox").exception)
