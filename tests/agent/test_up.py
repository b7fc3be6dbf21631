"""`gesso up` and `gesso stop`, as processes of their own, with a scripted engine as the model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gesso.agent.state import state_of
from gesso.memory import RunState
from waiting import opened

Start = Callable[..., subprocess.Popen[str]]

GESSO = """
import time
from gesso.agent import models
from gesso.agent.cli import main
from scripted import Reader

class Slow(Reader):
    def generate(self, request):
        time.sleep(60)

models.load_engine = lambda model, *_, **__: Slow() if model == "slow" else Reader()
main()
"""


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    """Start `gesso …` on a project whose agent watches its inbox, where one document lies."""
    clerk = project / "agents" / "clerk.md"
    clerk.write_text(clerk.read_text().replace("tools:", "triggers: [{folder: inbox}]\ntools:"))
    (project / "inbox" / "a.txt").write_text("Brandt & Sons\n")
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    started = []

    def call(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", GESSO, *arguments],
            env=os.environ | {"PYTHONPATH": path} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def wait_until(
    state: RunState, process: subprocess.Popen[str], project: Path, runs: int = 1
) -> None:
    state_of(project)
    end = time.monotonic() + 30
    while _count(project, state) != runs:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def _count(project: Path, state: RunState) -> int:
    with opened(project) as store:
        return len(store.runs(state=state))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_up_is_interrupted_gracefully(
    start: Start, project: Path, sent: signal.Signals, code: int
) -> None:
    process = start("up", str(project))
    wait_until("done", process, project)
    process.send_signal(sent)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert out == ""
    assert "watching inbox for *" in err
    assert "stopped; what is unfinished goes on at the next start" in err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if " started: New file: inbox/a.txt" in line]
    assert len(lines) == 1
    _, _, level, run, *_ = lines[0].split()
    assert (level, run.startswith("clerk-")) == ("info", True)


def test_a_second_signal_does_not_wait_for_the_step(start: Start, project: Path) -> None:
    process = start("up", str(project), "--model", "slow")
    wait_until("running", process, project)
    process.terminate()
    assert process.stderr is not None
    while "stopping after the current step" not in process.stderr.readline():
        assert process.poll() is None
    process.terminate()
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert _count(project, "running") == 1


def test_a_project_is_up_once_and_stop_ends_it(start: Start, project: Path) -> None:
    first = start("up", str(project))
    wait_until("done", first, project)
    second = start("up", str(project))
    out, err = second.communicate(timeout=20)
    assert (second.returncode, out) == (1, "")
    assert err.startswith(f"error: {project} is up already, as process {first.pid}: ")
    stopping = start("stop", str(project), "--json")
    out, err = stopping.communicate(timeout=20)
    assert (stopping.returncode, err) == (0, "")
    assert json.loads(out)["pid"] == first.pid
    assert first.wait(timeout=20) == 0
    again = start("stop", str(project))
    out, err = again.communicate(timeout=20)
    assert (again.returncode, out) == (1, "")
    assert err == f"error: {project} is not up\n"


def test_the_log_in_json_is_all_there_is_on_standard_output_and_has_no_secret(
    start: Start, project: Path
) -> None:
    clerk = project / "agents" / "clerk.md"
    clerk.write_text(clerk.read_text().replace("tools:", "secrets: [API_KEY, OTHER]\ntools:"))
    (project / "inbox" / "s3cr3t-s3cr3t.txt").write_text("Nell\n")
    process = start("up", str(project), "--json", API_KEY="s3cr3t-s3cr3t")
    wait_until("done", process, project, runs=2)
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    for row in rows:
        assert list(row) == ["time", "level", "run", "agent", "message", "exception"]
    (missing,) = [row for row in rows if row["level"] == "warning"]
    assert missing["message"].startswith("the secret OTHER is missing")
    ended = [row for row in rows if row["message"] == "done"]
    assert len(ended) == 2
    assert {row["agent"] for row in ended} == {"clerk"}
    assert all(row["run"].startswith("clerk-") for row in ended)
    assert "s3cr3t" not in out
    assert "started: New file: inbox/[secret API_KEY].txt" in [row["message"] for row in rows]


def test_wrong_settings_and_agents_end_it_before_it_is_up(start: Start, project: Path) -> None:
    (project / "gesso.toml").write_text("concurrency = 0\n")
    process = start("up", str(project))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert err.startswith(f"error: {project}/gesso.toml:1: concurrency: ")
    (project / "gesso.toml").unlink()
    (project / "agents" / "clerk.md").write_text("---\nname: clerk\ncolour: red\n---\nGo.")
    process = start("up", str(project))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert err.startswith(f"error: {project}/agents/clerk.md:3: colour: ")
    assert not (project / ".gesso").exists()
