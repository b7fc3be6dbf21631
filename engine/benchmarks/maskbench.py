"""Real JSON Schemas, ours and other engines: `python -m gesso.engine.benchmarks.maskbench`.

The data are schemas with valid and invalid instances (guidance-ai/jsonschemabench, folder
`maskbench`). Each instance is judged as the text that `json.dumps` writes with its default
separators `", "` and `": "`, members in the order of the data, characters beyond ASCII as
themselves. As MaskBench counts, a schema passes when it compiles, every valid instance is accepted
and every invalid one rejected.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .judges import JUDGES
from .worker import Case, Verdict, Worker

DATA = Path("../shared/data/maskbench-dev.jsonl.gz")
ENGINES = (
    *("gesso", "gesso writes"),
    *("llguidance", "llguidance-lenient", "xgrammar", "outlines-core"),
)
SECONDS = 5.0
"""How long one schema may take an engine, its instances included."""
LIFTED = 100
"""About how many schemas, evenly spaced, are also compiled for the 131,072 tokens where an engine
is judged over bytes."""


@dataclass(frozen=True)
class Score:
    """Counts of schemas; a schema may count in both of the last two. Times are of those that
    compile, in milliseconds."""

    schemas: int
    passing: int
    compile_error: int
    valid_rejected: int
    invalid_accepted: int
    compile_p50: float
    compile_p99: float


def read_cases(file: Path, limit: int | None = None) -> list[Case]:
    """The schemas of the data with their instances as texts, or the first `limit` of them."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Case(
            row["id"],
            row["schema"],
            [
                (json.dumps(test["data"], ensure_ascii=False), test["valid"])
                for test in row["tests"]
            ],
        )
        for row in rows[:limit]
    ]


def score(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> Score:
    """The counts of one engine; verdicts are in the order of the cases."""
    times = [verdict.milliseconds for verdict in verdicts if verdict.milliseconds is not None]
    errors = [
        {case.texts[index][1] for index in verdict.wrong}
        for case, verdict in zip(cases, verdicts, strict=True)
    ]
    quantiles = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99 or [0.0] * 99
    return Score(
        schemas=len(cases),
        passing=sum(
            verdict.milliseconds is not None and not wrong
            for verdict, wrong in zip(verdicts, errors, strict=True)
        ),
        compile_error=len(cases) - len(times),
        valid_rejected=sum(True in wrong for wrong in errors),
        invalid_accepted=sum(False in wrong for wrong in errors),
        compile_p50=quantiles[49],
        compile_p99=quantiles[98],
    )


def run(
    engine: str, cases: Sequence[Case], processes: int, report: Callable[[Case, Verdict], None]
) -> list[Verdict]:
    """One engine's verdicts in the order of the cases; each is reported as soon as it is there.

    Raises:
        EngineError: the engine cannot be loaded.
    """

    def share(first: int) -> list[Verdict]:
        verdicts = []
        with Worker(engine, SECONDS) as worker:
            for case in cases[first::processes]:
                verdicts.append(worker.judge(case))
                report(case, verdicts[-1])
        return verdicts

    with ThreadPoolExecutor(processes) as pool:
        shares = list(pool.map(share, range(processes)))
    return [shares[index % processes][index // processes] for index in range(len(cases))]


def row_of(engine: str, case: Case, verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON, to study failures with: the first text that was judged wrongly, and how
    many there are."""
    row = asdict(verdict)
    wrong = row.pop("wrong")
    kinds = [case.texts[index][1] for index in wrong]
    first = case.texts[wrong[0]] if wrong else None
    return {
        "engine": engine,
        "schema": row.pop("name"),
        "compiled": verdict.milliseconds is not None,
        **row,
        "valid_rejected": kinds.count(True),
        "invalid_accepted": kinds.count(False),
        "first_wrong": first and {"text": first[0], "valid": first[1]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="maskbench")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--limit", type=int, help="only the first so many schemas")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--json", type=Path, help="write one JSON line a schema and engine")
    parser.add_argument("--processes", type=int, default=1, help="worker processes an engine")
    arguments = parser.parse_args()
    engines = arguments.engines.split(",")
    if unknown := set(engines) - set(ENGINES):
        parser.error(
            f"no such engine: {', '.join(sorted(unknown))}; there are {', '.join(ENGINES)}"
        )
    if not arguments.data.exists():
        parser.error(f"{arguments.data} is not there: name the data with --data")
    cases = read_cases(arguments.data, arguments.limit)
    table = _table(len(cases))
    columns = (TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn())
    with (
        Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress,
        (arguments.json or Path(os.devnull)).open("w", 1, "utf-8") as out,
    ):

        def measure(engine: str, chosen: Sequence[Case]) -> list[Verdict]:
            task = progress.add_task(engine, total=len(chosen))

            def report(case: Case, verdict: Verdict) -> None:
                progress.advance(task)
                out.write(json.dumps(row_of(engine, case, verdict), ensure_ascii=False) + "\n")

            return run(engine, chosen, arguments.processes, report)

        for engine in engines:
            verdicts = measure(engine, cases)
            _add(table, engine, score(cases, verdicts))
            if f"{engine} tokens" in JUDGES:
                compiled = [
                    Case(case.name, case.schema, ())
                    for case, verdict in zip(cases, verdicts, strict=True)
                    if verdict.milliseconds is not None
                ]
                some = compiled[:: max(1, len(compiled) // LIFTED)]
                result = score(some, measure(f"{engine} tokens", some))
                _add(table, f"… tokens ({len(some)})", result, judged=False)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _table(schemas: int) -> Table:
    table = Table(
        title=f"{schemas} schemas of MaskBench",
        caption=(
            "Counts are of schemas; compile times are of those that compile. llguidance compiles"
            " for 131,072 tokens; gesso and xgrammar over bytes and, for an even sample, in the"
            " line below: gesso from bytes to these tokens, xgrammar anew for them, on one thread."
            " outlines-core compiles over bytes only."
            f" {SECONDS:g} s without an answer, or a crash, is a compile error."
        ),
    )
    table.add_column("engine", no_wrap=True)
    for heading in ("passing", "compile error", "valid rejected", "invalid accepted"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("compile ms p50 / p99", justify="right", no_wrap=True)
    return table


def _add(table: Table, engine: str, result: Score, *, judged: bool = True) -> None:
    counts = [
        result.passing,
        result.compile_error,
        result.valid_rejected,
        result.invalid_accepted,
    ]
    cells = [f"{count} ({100 * count / max(1, result.schemas):.1f} %)" for count in counts]
    if not judged:
        cells = ["", cells[1], "", ""]
    table.add_row(engine, *cells, f"{result.compile_p50:.2f} / {result.compile_p99:.1f}")


if __name__ == "__main__":
    main()
