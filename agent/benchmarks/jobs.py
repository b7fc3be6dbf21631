"""Is the memory of a job level? `python -m gesso.agent.benchmarks.jobs --documents 10000`.

Small text documents go through the whole of a job but the model: an engine that says of each what
stands on its first two lines. What is printed is the memory of the process after 100, 1,000 and all
documents, and how many a second there were.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from ...engine import Engine, Request, Result, Usage
from ...memory import Store
from ...tools import find_documents
from ..jobs.extract import plan_of, records_of
from ..jobs.job import JobRunner, plan_job
from ..jobs.output import write_records
from ..jobs.schema import read_schema
from ..state import state_of


class FirstLines:
    """Takes a document's first line for the company and the second for the total."""

    name, device, context_length, digest = "first lines", "cpu", 4096, "none"
    sees = False

    def prompt_tokens(self, request: Request) -> int:
        return len(request.messages[-1].content) // 4

    def generate_batch(self, requests: Sequence[Request]) -> list[Result]:
        results = []
        for request in requests:
            company, total, *_ = request.messages[-1].content.splitlines()
            value = {"company": company, "total": total}
            usage = Usage(prompt_tokens=90, output_tokens=20, canvases=1, denoising_steps=6)
            sure = {"/company": 0.9, "/total": 0.8}
            results.append(Result(json.dumps(value), value, usage=usage, confidence=sure))
        return results


def megabytes() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(folder: Path, count: int) -> list[dict[str, Any]]:
    """Carry out a job over `count` documents in a folder; what was seen on the way."""
    inbox = folder / "in"
    inbox.mkdir()
    for number in range(count):
        (inbox / f"{number:06}.txt").write_text(f"SHOP {number}\n{number}.50\nThank you\n")
    engine = cast(Engine, FirstLines())
    state, output = state_of(folder), str(folder / "out.jsonl")
    seen = []
    with Store(state / "store.db") as store:
        plan = plan_of(read_schema("company, total"), engine, engine.name, output=output)
        job = plan_job(store, plan, find_documents([inbox]), engine=engine)
        began = time.perf_counter()
        for number, _ in enumerate(JobRunner(store, engine, state).rows(job), 1):
            if number in (100, 1000, count):
                second = number / (time.perf_counter() - began)
                seen.append(
                    {
                        "documents": number,
                        "megabytes": round(megabytes(), 1),
                        "documents per second": round(second),
                    }
                )
        write_records(output, records_of(store, job), plan.schema)
        seen.append({"written": count, "megabytes": round(megabytes(), 1)})
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description="Is the memory of a job level?")
    parser.add_argument("--documents", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(Path(folder), options.documents):
            print(json.dumps(row))


if __name__ == "__main__":
    main()
