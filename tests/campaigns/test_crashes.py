"""Runs killed at random moments, by `make campaigns`: none is lost, and no finished call repeated.

Files and messages start the runs. The process is killed again and again, at seeded moments; the
person looks at what a call that was cut short has left behind, and says whether to make it again.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gesso.memory import Letter, Run, Store

RUNS = int(os.environ.get("CRASHED_RUNS", "200"))
SEED = int(os.environ.get("CRASH_SEED", "1"))
CALLS = 4  # of each run
AGENT = """\
---
name: clerk
triggers: [{folder: inbox, pattern: "*.txt"}]
tools: [pay, look]
budget: {turns: 50}
concurrency: 4
---
Pay and look.
"""


def live(project: Path, seconds: float) -> bool:
    """Let the project run; whether it ended by itself."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    victim = Path(__file__).parent / "crashing.py"
    process = subprocess.run(
        [sys.executable, str(victim), str(project), f"{seconds:.3f}", str(RUNS)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode in (0, -signal.SIGKILL), process.stderr
    return process.returncode == 0


def answer(project: Path) -> int:
    """The person's word on each call that was cut short: again, unless it left its mark."""
    effects = (project / "effects.txt").read_text().splitlines()
    with Store(project / ".gesso" / "store.db") as store:
        entries = store.inbox.entries()
        for entry in entries:
            assert entry.kind == "interrupted"
            assert entry.text.startswith("pay(")
            happened = f"end pay {entry.call}" in effects
            verdict = "denied" if happened else "approved"
            store.inbox.decide(entry.id, verdict, note="", at=datetime.now(UTC))
    return len(entries)


def ended(project: Path) -> list[Run]:
    with Store(project / ".gesso" / "store.db") as store:
        return [run for run in store.runs() if run.state not in ("queued", "running", "waiting")]


@pytest.mark.slow
def test_no_run_is_lost_and_no_finished_call_is_made_twice(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    (tmp_path / "agents").mkdir()
    (tmp_path / "inbox").mkdir()
    (tmp_path / ".gesso").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    (tmp_path / "effects.txt").touch()
    begun = kills = asked = 0
    while True:
        for _ in range(min(rng.randint(0, 8), RUNS - begun)):
            if rng.random() < 0.7:
                (tmp_path / "inbox" / f"{begun}.txt").write_text(f"{begun}")
            else:
                with Store(tmp_path / ".gesso" / "store.db") as store:
                    letter = Letter(f"m{begun}", "clerk", "person", "Go", datetime.now(UTC))
                    store.mail.post(letter)
            begun += 1
        by_itself = live(tmp_path, rng.expovariate(1 / 0.4))
        kills += not by_itself
        asked += answer(tmp_path)
        if by_itself and len(ended(tmp_path)) == RUNS:
            break
    runs = ended(tmp_path)
    assert Counter(run.state for run in runs) == {"done": RUNS}
    assert (
        len({run.trigger for run in runs if run.trigger.startswith("file")})
        + sum(run.trigger == "message from person" for run in runs)
        == RUNS
    )
    effects = (tmp_path / "effects.txt").read_text().splitlines()
    paid = Counter(line for line in effects if line.startswith("end pay"))
    assert set(paid.values()) == {1}, "a payment was made twice"
    assert len(paid) == 2 * RUNS
    seen = {line for line in effects if line.startswith("end look")}
    assert len(seen) == 2 * RUNS
    with Store(tmp_path / ".gesso" / "store.db") as store:
        events = store.audit.events()
        finished = Counter(event.call for event in events if event.kind == "finished")
        assert set(finished.values()) == {1}
        assert store.mail.waiting() == []
    for name in ("store.db", "durable.db"):
        with sqlite3.connect(tmp_path / ".gesso" / name) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    print(
        f"{RUNS} runs, {CALLS * RUNS} calls, {kills} kills, {asked} calls cut short (seed {SEED})"
    )
