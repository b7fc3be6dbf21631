"""Workers that share a queue in PostgreSQL, one of them killed, by `make campaigns`: every run ends
once, and no finished call is made again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from gesso.agent import Runtime
from gesso.engine import Engine
from gesso.memory import Store
from postgresql import Server
from working import Told, pay

RUNS = int(os.environ.get("SHARED_RUNS", "500"))
SECONDS = 600
AGENT = """\
---
name: clerk
tools: [pay]
budget: {turns: 50}
concurrency: 8
---
Pay.
"""


@contextmanager
def worker(project: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = Path(__file__).parent / "working.py"
    process = subprocess.Popen(
        [sys.executable, str(program), str(project)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "works\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def answer(project: Path, store: Store) -> int:
    """The person's word on each call that was cut short: again, unless it left its mark."""
    ended = {line.split()[1] for line in effects(project) if line.startswith("end")}
    entries = store.inbox.entries()
    for entry in entries:
        assert entry.kind == "interrupted"
        verdict = "denied" if entry.call in ended else "approved"
        store.inbox.decide(entry.id, verdict, note="", at=datetime.now(UTC))
    return len(entries)


def effects(project: Path) -> list[str]:
    return (project / "effects.txt").read_text().splitlines()


@pytest.mark.slow
def test_two_workers_share_the_runs_and_one_is_killed(
    tmp_path: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GESSO_DATABASE_URL", postgresql.fresh())
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    (tmp_path / "effects.txt").touch()
    begun, asked, lost = time.monotonic(), 0, None
    with ExitStack() as stack:
        first, second = (stack.enter_context(worker(tmp_path)) for _ in range(2))
        queues = Runtime(tmp_path, engine=cast(Engine, Told()), tools=[pay], listen=False)
        runtime = stack.enter_context(queues)
        runtime.load()
        for number in range(RUNS):
            runtime.enqueue("clerk", "Go", key=str(number), trigger="campaign")
        store = runtime.store
        while (states := Counter(run.state for run in store.runs()))["done"] < RUNS:
            assert time.monotonic() - begun < SECONDS, states
            assert not set(states) - {"queued", "running", "waiting", "done"}, states
            if lost is None and states["done"] > RUNS // 3:
                first.send_signal(signal.SIGKILL)
                lost = states["running"]
            asked += answer(tmp_path, store)
            runtime.deliver()
            time.sleep(0.2)
        took = time.monotonic() - begun
        events = store.audit.events()
        entries = list(store.ledger.entries())
        assert second.poll() is None
    lines = effects(tmp_path)
    ends = Counter(line.split()[1] for line in lines if line.startswith("end"))
    assert set(ends.values()) == {1}, "a payment was made twice"
    assert len(ends) == 2 * RUNS
    finished = Counter(event.call for event in events if event.kind == "finished")
    assert set(finished.values()) == {1}
    assert len(entries) == 3 * RUNS
    shares = Counter(line.split()[2] for line in lines if line.startswith("end"))
    assert len(shares) == 2, "both worked"
    print(f"{RUNS} runs in {took:.0f} s, shares {sorted(shares.values())}, ", end="")
    print(f"{lost} under way at the kill, {asked} calls cut short")
