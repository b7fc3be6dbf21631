"""How quick a large ledger is: `python -m gesso.agent.benchmarks.ledger [--rows 10000000]`.

A ledger of a year is made by the database itself: so many generations of 20 agents on two models,
one in fifty of a job. Then every figure of `gesso cost` for a month is asked for as a user asks for
it (the command in a process of its own, and its report inside this one), and so many generations
are appended as the runtime appends them, each in a transaction.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from ...memory import JobPlan, LedgerEntry, Run, Store
from ..cost.report import BYS, Question, basis_of, report_of
from ..settings import Settings

YEAR = timedelta(days=365)
UNTIL = datetime(2026, 11, 25, tzinfo=UTC)
MONTH = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
BATCH = 500_000
APPENDED = 1000
ROUNDS = 5
_PLAN = JobPlan({}, "", "sketch", "", "", 0, None, 8, "/", None, True)

_FILL = text("""
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last)
INSERT INTO ledger (key, run, agent, model, device, at, prompt_tokens, cached_tokens, output_tokens,
  canvases, denoising_steps, prefill_seconds, denoising_seconds, joules, energy)
SELECT printf('%s/%d', run, i), run, printf('agent-%d', i % 20), iif(i % 2, 'sketch', 'large'),
  'cpu', :start + i * :step, 400 + i * 7919 % 3000, i * 31 % 400, 20 + i * 104729 % 300, 1,
  4 + i % 13, 0.05, 0.1 + i % 100 / 100.0, iif(i % 3, 40.0, NULL), iif(i % 3, 'measured', 'unknown')
FROM (SELECT i, iif(i % 50, 'run', printf('job-%d', i * 16 / :rows)) AS run FROM n)
""")


def fill(store: Store, rows: int) -> None:
    """A year of generations, evenly spread, behind which every index and sum is as it would be."""
    start = UNTIL - YEAR
    store.add_run(Run("run", "agent-0", "manual", "go", "done", "sketch", start))
    for number in range(17):
        run = Run(f"job-{number}", "agent-0", "job", "go", "done", "sketch", start)
        store.jobs.add(run, _PLAN, [])
    step = YEAR.total_seconds() / rows
    for first in range(0, rows, BATCH):
        given = {"first": first, "last": min(first + BATCH, rows), "rows": rows}
        with store._database.write() as connection:  # pyright: ignore[reportPrivateUsage]
            connection.execute(_FILL, given | {"start": start.timestamp(), "step": step})
        print(f"{given['last']:,} rows", file=sys.stderr, flush=True)


def timed(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of the seconds it takes."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    """Parse the command line, fill, measure and print."""
    parser = argparse.ArgumentParser(description="How quick a large ledger is.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / ".gesso").mkdir()
        (project / "gesso.toml").write_text('hardware = "dgx-spark"\n')
        basis = basis_of(Settings(hardware="dgx-spark"))
        with Store(project / ".gesso" / "store.db") as store:
            start = time.perf_counter()
            fill(store, options.rows)
            print(f"{options.rows:,} rows in {time.perf_counter() - start:.0f} s")
            for by in BYS:
                question = Question(by, *MONTH, UTC)
                seconds = timed(lambda q=question: report_of(store, q, basis, now=UNTIL))
                print(f"a month by {by}: {seconds:.3f} s")
            command = [sys.executable, "-m", "gesso.agent", "cost", folder, "--json", "--zone"]
            command += ["UTC", "--since", "2026-10-01", "--until", "2026-11-01", "--by"]
            for by in BYS:
                asked = [*command, by]
                seconds = timed(lambda a=asked: subprocess.run(a, check=True, capture_output=True))
                shown = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
                number = shown["total"]["work"]["generations"]
                print(f"gesso cost --by {by}: {seconds:.3f} s ({number:,} generations)")
            entry = LedgerEntry(
                "", "run", "agent-3", "sketch", "cpu", UNTIL, 900, 0, 90, 1, 9, 0, 0.2
            )
            seconds = []
            for number in range(APPENDED):
                one = replace(entry, key=f"new/{number}", at=UNTIL + timedelta(seconds=number))
                start = time.perf_counter()
                store.ledger.add(one)
                seconds.append(time.perf_counter() - start)
            tenths = statistics.quantiles(seconds, n=100)
            print(f"append: median {tenths[49] * 1e3:.3f} ms, 99 of 100 {tenths[98] * 1e3:.3f} ms")


if __name__ == "__main__":
    main()
