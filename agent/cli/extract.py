"""`gesso extract`: documents in, records out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .options import Json, Project

if TYPE_CHECKING:
    from ...engine import AnyEngine
    from ...memory import Job, Store
    from ..cost.report import Basis
    from ..jobs.progress import Mode


class Progress(StrEnum):
    AUTO = "auto"
    PLAIN = "plain"
    NONE = "none"


class Merge(StrEnum):
    FIRST = "first"
    LONGEST = "longest"
    APPEND = "append"
    CONFIDENT = "confident"


Schema = Annotated[
    str,
    typer.Argument(
        metavar="SCHEMA",
        help='A JSON Schema file, a pydantic model (module:Class), or "vendor, total: number".',
    ),
]
Documents = Annotated[
    list[str],
    typer.Argument(
        metavar="DOCS…", help="Files, folders, patterns, - for standard input, @FILE for a list."
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where the records go: .jsonl, .csv, .parquet, .sqlite, or - for lines.",
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="sketch, a checkpoint's folder, or a hub id.")
]
Instructions = Annotated[str | None, typer.Option(metavar="T", help="What to tell the model.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed, the same records.")]
Batch = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Documents that are read side by side.")
]
MergeOption = Annotated[
    Merge | None,
    typer.Option(help="How the windows of a long document become one record; x-merge in a schema."),
]
ProgressOption = Annotated[Progress, typer.Option(help="What is shown on the way.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Read again what was read for another job.")
]


def extract(
    schema: Schema,
    documents: Documents,
    output: Output = "-",
    project: Project = Path(),
    model: Model = None,
    instructions: Instructions = None,
    seed: Seed = 0,
    batch: Batch = None,
    merge: MergeOption = None,
    progress: ProgressOption = Progress.AUTO,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> None:
    """Make a record of each document. A job that was interrupted goes on with `gesso jobs resume`.

    Exit code 1 where a document failed: its row says why, and `gesso jobs resume ID --retry-failed`
    tries it again. With --json the job's summary is printed, and -o names a file.
    """
    from ...memory import Store
    from ...tools import find_documents
    from ..cost.report import basis_of
    from ..jobs.extract import BATCH, INSTRUCTIONS, plan_of
    from ..jobs.job import plan_job
    from ..jobs.output import STANDARD_OUTPUT, check_output
    from ..jobs.schema import read_schema
    from ..models import engine_of
    from ..settings import read_settings
    from ..state import state_of, store_of

    if as_json and output == STANDARD_OUTPUT:
        raise typer.BadParameter("with --json, name a file for the records (-o FILE)")
    found = read_schema(schema)
    check_output(output)
    sources = find_documents(documents)
    state = state_of(project.resolve())
    settings = read_settings(project)
    name = model or settings.model or "sketch"
    engine = engine_of(name, settings, state)
    plan = plan_of(
        found,
        engine,
        name,
        instructions=instructions or INSTRUCTIONS,
        seed=seed,
        batch=batch or BATCH,
        merge=None if merge is None else merge.value,
        output=output if output == STANDARD_OUTPUT else str(Path(output).resolve()),
        cache=not no_cache,
    )
    with Store(store_of(project.resolve(), settings)) as store:
        job = plan_job(store, plan, sources, engine=engine)
        basis = basis_of(settings)
        carry_out(store, job, engine, state, progress.value, basis, as_json=as_json)


def carry_out(
    store: Store,
    job: Job,
    engine: AnyEngine,
    state: Path,
    progress: Mode,
    basis: Basis,
    *,
    as_json: bool,
) -> None:
    """Carry a job out, or on, write its records, and say what it came to."""
    from ..jobs.extract import write_output
    from ..jobs.job import JobRunner
    from ..jobs.output import STANDARD_OUTPUT
    from ..jobs.progress import Figures, shown
    from ..jobs.summary import summary_of
    from .jobs import print_summary, summary_json
    from .output import print_json

    counts = store.jobs.counts(job.id)
    figures = Figures(
        basis=basis,
        total=job.documents or 0,
        documents=counts.done + counts.failed,
        records=counts.done,
        failed=counts.failed,
        cached=counts.cached,
    )
    whole = False
    try:
        with _terminable(), shown(figures, "none" if as_json else progress) as watch:
            for _ in JobRunner(store, engine, state).rows(job, watch=watch):
                pass
        whole = not store.jobs.counts(job.id).waiting
    finally:
        if not whole:
            typer.echo(f"{job.id}: gesso jobs resume {job.id} goes on", err=True)
        if whole or job.plan.output not in (None, STANDARD_OUTPUT):
            write_output(store, job)
    summary = summary_of(store, cast("Job", store.jobs.get(job.id)), state, basis)
    if as_json:
        print_json(summary_json(summary))
    elif progress != "none":
        print_summary(summary, basis)
    if not whole or summary.counts.failed:
        raise typer.Exit(1)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
