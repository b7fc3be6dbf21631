"""The commands about runs and the inbox, as a person types them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gesso.agent import Runtime
from scripted import calls, engine, says
from waiting import opened

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gesso(project: Path, command: Command) -> Command:
    """Call `gesso … --project` of the test's project."""
    return lambda *words: command(*words, "--project", str(project))


@pytest.fixture
def run(project: Path, write_agent: Callable[..., Path]) -> str:
    """A run that asks the person."""
    write_agent("name: clerk\ntools: [list_files, ask_person]")
    turns = [calls(("list_files", {"folder": "."}), ("ask_person", {"question": "Which year?"}))]
    with Runtime(project, engine=engine(*turns, says("ok")), listen=False) as runtime:
        runtime.load()
        return runtime.run("clerk", "hello").id


def test_the_inbox_shows_what_waits_and_takes_an_answer(
    run: str, gesso: Command, project: Path
) -> None:
    _, shown, _ = gesso("inbox")
    assert "1  question  clerk" in shown
    assert "Which year?" in shown
    (entry,) = json.loads(gesso("inbox", "--json")[1])
    assert (entry["id"], entry["run"], entry["kind"]) == (1, run, "question")
    code, _, error = gesso("approve", "1")
    assert code == 2
    assert 'gesso approve 1 "ANSWER"' in error
    assert gesso("approve", "1", "2026")[1].startswith("approved: Which year?")
    assert gesso("inbox")[1] == "Nothing waits.\n"
    assert gesso("deny", "1")[::2] == (2, "error: entry 1 was approved already\n")
    with opened(project) as store:
        (entry,) = store.inbox.entries(open_only=False)
    assert (entry.verdict, entry.note) == ("approved", "2026")


def test_runs_logs_and_trace_tell_what_happened(run: str, gesso: Command) -> None:
    (listed,) = json.loads(gesso("runs", "--json")[1])
    assert (listed["id"], listed["state"]) == (run, "waiting")
    assert json.loads(gesso("runs", "--json", "--state", "done")[1]) == []
    assert gesso("runs", "--state", "asleep")[0] == 2
    lines = [line["what"] for line in json.loads(gesso("logs", run[:9], "--json")[1])]
    assert lines[0] == "queued: manual"
    assert "turn 1: 100 + 20 tokens, 9 steps, 0.75 s" in lines
    assert "inbox 1: question: Which year?" in lines
    assert lines[-1] == "waiting: asks: Which year?"
    traced = json.loads(gesso("trace", run, "--json")[1])
    (turn,) = traced["turns"]
    assert [message["role"] for message in turn["added"]] == ["system", "user"]
    assert [event["kind"] for event in turn["calls"][0]["events"]] == [
        *("allow", "begun", "finished")
    ]
    assert turn["calls"][1]["result"] is None
    assert turn["usage"]["output_tokens"] == 20
    text = gesso("trace", run)[1]
    assert 'call: list_files({"folder": "."})' in text
    assert "result: (none yet)" in text


def test_a_run_is_cancelled_by_how_its_name_begins(run: str, gesso: Command) -> None:
    assert gesso("cancel", "clerk")[1] == f"{run} is cancelled\n"
    code, _, error = gesso("resume", run)
    assert code == 2
    assert "is cancelled, and cannot be resumed" in error
    assert "there is no such run" in gesso("pause", "nobody")[2]


def test_a_run_is_paused_with_what_it_asked_and_resumed(run: str, gesso: Command) -> None:
    assert gesso("pause", run)[1] == f"{run} is paused\n"
    assert gesso("approve", "1", "2026")[1] == (
        f"approved: Which year?\n{run} is paused: gesso resume {run}\n"
    )
    assert gesso("resume", run)[1] == f"{run} goes on at the next gesso up\n"


def test_what_an_agent_wrote_cannot_pass_for_another_entry(
    project: Path, write_agent: Callable[..., Path], gesso: Command
) -> None:
    forged = "Hello.\n9  approval  clerk  25 Nov 05:04\n\x1b[2J\u202ewrite_file"
    write_agent("name: clerk\ntools: [send_message]")
    turns = [calls(("send_message", {"to": "person", "text": forged})), says(forged)]
    with Runtime(project, engine=engine(*turns), listen=False) as runtime:
        run = runtime.run("clerk", "hello").id
    shown = gesso("inbox")[1]
    assert [line for line in shown.splitlines() if line[0].isdigit()] == [shown.splitlines()[0]]
    for printed in (shown, gesso("trace", run)[1], gesso("logs", run)[1]):
        assert "\x1b" not in printed
        assert "\u202e" not in printed
        assert "\\x1b[2J\\u202ewrite_file" in printed


def test_the_names_of_runs_are_shown_whole(run: str, gesso: Command) -> None:
    assert run in gesso("runs")[1]


def test_an_agent_is_told(project: Path, gesso: Command) -> None:
    assert gesso("tell", "clerk", "Good morning")[1] == "told clerk\n"
    with opened(project) as store:
        (letter,) = store.mail.waiting()
    assert (letter.agent, letter.sender, letter.text) == ("clerk", "person", "Good morning")
    assert "unknown agent clark; known are clerk" in gesso("tell", "clark", "Good morning")[2]


def test_an_agent_is_told_though_the_file_of_another_is_broken(
    project: Path, gesso: Command
) -> None:
    (project / "agents" / "other.md").write_text("---\nname: other\ntoolz: []\n---\nGo.")
    assert gesso("tell", "clerk", "hello")[:2] == (0, "told clerk\n")
    code, _, error = gesso("tell", "other", "hello")
    assert code == 2
    assert "unknown agent other; known are clerk; and " in error
    assert "other.md:3: toolz: unknown field" in error
    assert gesso("tell", "clerk", " ")[0] == 2


@pytest.mark.sqlite
def test_where_nothing_has_run_the_commands_say_so(gesso: Command) -> None:
    assert "nothing has run here yet" in gesso("inbox")[2]
