"""`gesso jobs`: the document jobs of a project."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .extract import Progress, ProgressOption
from .options import Json, Project
from .project import opened_store

if TYPE_CHECKING:
    from ..cost.report import Basis
    from ..jobs.summary import Summary

jobs = typer.Typer(name="jobs", help="The document jobs of a project.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="A job, or how its name begins.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try the documents again that failed.")
]


@jobs.command("list")
def list_jobs(project: Project = Path(), as_json: Json = False) -> None:
    """All jobs, oldest first."""
    from ..jobs.job import state_of
    from ..state import STATE
    from .output import print_json, print_table

    with opened_store(project) as store:
        rows = []
        for job in store.jobs.all():
            state, reason = state_of(job, project / STATE)
            counts = store.jobs.counts(job.id)
            rows.append((job, state, reason, counts))
    if as_json:
        print_json(
            [
                {
                    "id": job.id,
                    "state": state,
                    "reason": reason,
                    "documents": job.documents,
                    **asdict(counts),
                    "queued": job.run.queued,
                    "output": job.plan.output,
                }
                for job, state, reason, counts in rows
            ]
        )
        return
    print_table(
        f"{len(rows)} jobs",
        ("job", "state", "documents", "done", "failed", "waiting", "begun", "output"),
        [
            (
                job.id,
                state,
                job.documents or 0,
                counts.done,
                counts.failed,
                counts.waiting,
                f"{job.run.queued.astimezone():%Y-%m-%d %H:%M}",
                job.plan.output,
            )
            for job, state, _, counts in rows
        ],
    )


@jobs.command()
def show(job: Id, project: Project = Path(), as_json: Json = False) -> None:
    """How a job stands, what failed and why, what it lacks, and what it cost."""
    from ..cost.report import basis_of
    from ..jobs.job import job_of
    from ..jobs.summary import summary_of
    from ..settings import read_settings
    from ..state import STATE
    from .output import print_json

    basis = basis_of(read_settings(project))
    with opened_store(project) as store:
        summary = summary_of(store, job_of(store, job), project / STATE, basis)
    if as_json:
        print_json(summary_json(summary))
    else:
        print_summary(summary, basis)


@jobs.command()
def resume(
    job: Id,
    project: Project = Path(),
    retry_failed: RetryFailed = False,
    progress: ProgressOption = Progress.AUTO,
    as_json: Json = False,
) -> None:
    """Go on with a job that was interrupted, and write its output anew."""
    from ..cost.report import basis_of
    from ..jobs.job import job_of
    from ..models import engine_of
    from ..settings import read_settings
    from ..state import STATE
    from .extract import carry_out

    settings = read_settings(project)
    with opened_store(project) as store:
        found = job_of(store, job)
        if retry_failed:
            store.jobs.retry_failed(found.id)
        state = project.resolve() / STATE
        engine = engine_of(found.plan.model, settings, state)
        basis = basis_of(settings)
        carry_out(store, found, engine, state, progress.value, basis, as_json=as_json)


@jobs.command()
def cancel(job: Id, project: Project = Path()) -> None:
    """End a job for good; what it has read stays."""
    from ..errors import RunError
    from ..jobs.job import cancel_job, job_of
    from ..state import STATE

    with opened_store(project) as store:
        found = job_of(store, job)
        if not cancel_job(store, found, project.resolve() / STATE):
            raise RunError(f"{found.id}: has ended already")
    print(f"{found.id} is cancelled")


def summary_json(summary: Summary) -> dict[str, Any]:
    return {
        **asdict(summary),
        "failures": [{"reason": reason, "documents": n} for reason, n in summary.failures],
        "absent": [{"field": field, "documents": n} for field, n in summary.absent],
        "steps_per_canvas": summary.steps_per_canvas,
    }


def print_summary(summary: Summary, basis: Basis) -> None:
    """On standard error: standard output may be the records'."""
    from ..cost.words import costs_told
    from .output import shortened

    def say(text: str) -> None:
        typer.echo(text, err=True)

    counts = summary.counts
    say(
        f"{summary.job} is {summary.state}"
        + (f" ({summary.reason})" if summary.reason else "")
        + f": {summary.documents:,} documents, {counts.done:,} records, {counts.failed:,} failed"
        + (f", {counts.waiting:,} waiting" if counts.waiting else "")
        + (f", {counts.cached:,} known before" if counts.cached else "")
    )
    if summary.pictures:
        say("  pages that are pictures were shown to the model as they are")
    for reason, number in summary.failures[:8]:
        say(f"  failed: {number:,} × {shortened(reason)}")
    for field, number in summary.absent[:8]:
        say(f"  lacks {field}: {number:,} documents")
    for reading in summary.least_sure:
        value = shortened(str(reading.value), 60)
        say(
            f"  least sure: {reading.source} {reading.pointer} {value!r} ({reading.confidence:.0%})"
        )
    if summary.seconds:
        fresh = counts.done + counts.failed - counts.cached
        output = summary.cost.work.output_tokens
        steps = summary.steps_per_canvas
        say(
            f"{summary.seconds:,.1f} s, {fresh / summary.seconds:.1f} documents/s,"
            f" {output / summary.seconds:,.0f} tokens/s"
            + ("" if steps is None else f", {steps:.1f} steps a canvas")
        )
    if summary.cost.work.generations:
        bills = {bill.name: bill.dollars for bill in summary.cost.bills}
        told = costs_told(summary.cost.electricity, bills, basis.terms)
        say(f"Cost: {told} ({basis.prices})")
    if summary.output:
        say(f"Records: {summary.output}")
