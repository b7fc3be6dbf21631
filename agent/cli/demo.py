"""`gesso demo`: the bundled agent on the bundled receipts, through the real loop."""

from __future__ import annotations

import logging
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Json

BUNDLED = Path(__file__).parent.parent / "demo"
BIGGER = "google/diffusiongemma-26B-A4B-it"

Folder = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="Where to copy it; a new temporary folder.")
]
Model = Annotated[str, typer.Option(metavar="M", help="The model that reads the receipts.")]


def demo(folder: Folder = None, model: Model = "sketch", as_json: Json = False) -> None:
    """Read six receipts into a table of records, and show what it cost."""
    from ..cost.report import Question, basis_of, report_of
    from ..cost.words import costs_told, report_json
    from ..log import start
    from ..runtime import Runtime
    from .output import print_json, print_table

    start(logging.WARNING)
    project = folder or Path(tempfile.mkdtemp(prefix="gesso-demo-"))
    for part in ("agents", "inbox"):
        shutil.copytree(BUNDLED / part, project / part, dirs_exist_ok=True)
    with Runtime(project, engine=model) as runtime:
        (agent,) = (runtime.add(path) for path in sorted((project / "agents").glob("receipts.md")))
        device = runtime.engine(model).device
        documents = sorted((project / "inbox").glob("*.txt"))
        queued = [(path, runtime.enqueue_document(agent.name, path)) for path in documents]
        results: list[dict[str, Any]] = []
        for path, run in queued:
            ended = runtime.wait(run)
            saved = runtime.store.records(run=run)
            if not as_json:
                typer.echo(f"{path.name}: {ended.reason or ended.state}", err=True)
            results.append(
                {
                    "source": f"inbox/{path.name}",
                    "state": ended.state,
                    "reason": ended.reason,
                    "records": [record.data for record in saved],
                }
            )
        basis, now = basis_of(runtime.settings), datetime.now(UTC)
        cost = report_of(runtime.store, Question("model"), basis, now=now)
    if as_json:
        print_json(
            {
                "folder": str(project),
                "model": model,
                "device": device,
                "documents": results,
                "cost": report_json(cost),
            }
        )
    else:
        fields = list(agent.record or {})
        print_table(
            "Records",
            ("document", *fields),
            [
                (result["source"], *(record[field] for field in fields))
                for result in results
                for record in result["records"]
            ],
        )
        work, terms = cost.total.work, cost.terms
        print(
            f"{work.generations} turns: {work.prompt_tokens:,} tokens read, {work.output_tokens:,}"
            f" written, {work.output_tokens_per_second or 0:,.0f} a second"
        )
        bills = {bill.name: bill.dollars for bill in cost.total.bills}
        told = costs_told(cost.total.local.electricity, bills, terms)
        print(f"Cost: {told} ({cost.prices}). More of it: gesso cost {project}")
        print(f"Model: {model} on {device}. A bigger one: gesso demo --model {BIGGER}")
        print(f"The project: {project}. To keep it running: gesso up {project}")
    if not all(result["records"] for result in results):
        raise typer.Exit(1)
