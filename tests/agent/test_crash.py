"""Real processes, killed with SIGKILL, and what the next one makes of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gesso.memory import Verdict
from waiting import opened

VICTIM = Path(__file__).parent / "victim.py"


def start(project: Path, scenario: str, tool: str) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(VICTIM.parent)])}
    command = [sys.executable, "-W", "error", str(VICTIM), str(project), scenario, tool]
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode in (0, -signal.SIGKILL), process.stderr
    return process.returncode


def test_a_run_killed_between_two_calls_goes_on_and_repeats_none(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [note]")
    assert start(project, "between two calls", "note") == -signal.SIGKILL
    assert start(project, "between two calls", "note") == 0
    lines = ["first", "second", "third"]
    assert (project / "begun.txt").read_text().split() == lines
    assert (project / "notes.txt").read_text().split() == lines
    seeds = (project / "seeds.txt").read_text().split()
    assert len(seeds) == 2
    assert len(set(seeds)) == 1, "a generation that is repeated has the same seed"
    with opened(project) as store:
        (run,) = store.runs()
        assert (run.state, run.reason) == ("done", None)
        messages = store.messages(run.id)
        assert [message.position for message in messages] == list(range(len(messages)))
        assert [m.content for m in messages if m.role == "tool"] == [
            f"noted first as {run.id}/0/0",
            f"noted second as {run.id}/0/1",
            f"noted third as {run.id}/1/0",
        ]
        assert [entry.key for entry in store.ledger.entries()] == [
            f"{run.id}/{n}" for n in range(3)
        ]


@pytest.mark.parametrize("scenario", ["in the middle of a call", "before the checkpoint"])
def test_a_call_that_was_cut_short_is_repeated_where_its_tool_says_it_may_be(
    project: Path, write_agent: Callable[..., Path], scenario: str
) -> None:
    write_agent("name: clerk\ntools: [note_again]")
    assert start(project, scenario, "note_again") == -signal.SIGKILL
    assert start(project, scenario, "note_again") == 0
    assert (project / "begun.txt").read_text().split() == ["first", "second", "second", "third"]
    with opened(project) as store:
        (run,) = store.runs()
        assert run.state == "done"
        assert f"noted second as {run.id}/0/1" in [m.content for m in store.messages(run.id)]


@pytest.mark.parametrize("verdict", ["approved", "denied"])
def test_any_other_call_that_was_cut_short_is_put_before_the_person(
    project: Path, write_agent: Callable[..., Path], verdict: Verdict
) -> None:
    write_agent("name: clerk\ntools: [note]")
    assert start(project, "in the middle of a call", "note") == -signal.SIGKILL
    assert start(project, "in the middle of a call", "note") == 0
    assert (project / "begun.txt").read_text().split() == ["first", "second"]
    with opened(project) as store:
        (run,) = store.runs()
        assert run.state == "waiting"
        (entry,) = store.inbox.entries()
        assert (entry.kind, entry.text) == ("interrupted", 'note({"line": "second"})')
        store.inbox.decide(entry.id, verdict, note="", at=datetime.now(UTC))
    assert start(project, "in the middle of a call", "note") == 0
    again = ["second"] if verdict == "approved" else []
    assert (project / "begun.txt").read_text().split() == ["first", "second", *again, "third"]
    with opened(project) as store:
        (run,) = store.runs()
        assert (run.state, run.part) == ("done", 1)
        told = [m.content for m in store.messages(run.id) if m.role == "tool"]
    refused = "error: it was cut short, may or may not have happened, and is not repeated"
    assert told[1] == (f"noted second as {run.id}/0/1" if again else refused)
