"""Real processes, killed with SIGKILL, and what the next one makes of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gesso.memory import Store

VICTIM = Path(__file__).parent / "victim.py"


def start(project: Path, scenario: str) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(VICTIM.parent)])}
    command = [sys.executable, "-W", "error", str(VICTIM), str(project), scenario]
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode in (0, -signal.SIGKILL), process.stderr
    return process.returncode


@pytest.mark.parametrize(
    ("scenario", "begun", "notes"),
    [
        ("between two calls", ["first", "second", "third"], ["first", "second", "third"]),
        (
            "in the middle of a call",
            ["first", "second", "second", "third"],
            ["first", "second", "third"],
        ),
    ],
)
def test_a_killed_run_goes_on_and_repeats_no_finished_call(
    project: Path,
    write_agent: Callable[..., Path],
    scenario: str,
    begun: list[str],
    notes: list[str],
) -> None:
    write_agent("name: clerk\ntools: [note]")
    assert start(project, scenario) == -signal.SIGKILL
    assert start(project, scenario) == 0
    assert (project / "begun.txt").read_text().split() == begun
    assert (project / "notes.txt").read_text().split() == notes
    seeds = (project / "seeds.txt").read_text().split()
    assert len(seeds) == (2 if scenario == "between two calls" else 1)
    assert len(set(seeds)) == 1, "a generation that is repeated has the same seed"
    with Store(project / ".gesso" / "store.db") as store:
        (run,) = store.runs()
        assert (run.state, run.reason) == ("done", None)
        messages = store.messages(run.id)
        assert [message.position for message in messages] == list(range(len(messages)))
        assert [m.content for m in messages if m.role == "tool"] == [
            f"noted first as {run.id}/0/0",
            f"noted second as {run.id}/0/1",
            f"noted third as {run.id}/1/0",
        ]
        assert [entry.key for entry in store.entries()] == [f"{run.id}/{n}" for n in range(3)]


def test_a_call_killed_before_its_checkpoint_runs_again_under_the_same_key(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    """At least once is all that can be promised; the key lets a tool make it once."""
    write_agent("name: clerk\ntools: [note]")
    assert start(project, "before the checkpoint") == -signal.SIGKILL
    assert start(project, "before the checkpoint") == 0
    assert (project / "notes.txt").read_text().split() == ["first", "second", "second", "third"]
    with Store(project / ".gesso" / "store.db") as store:
        (run,) = store.runs()
        assert f"noted second as {run.id}/0/1" in [m.content for m in store.messages(run.id)]
