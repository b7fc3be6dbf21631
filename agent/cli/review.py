"""`gesso review`: go through what a job read, and set it right."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import typer

from .jobs import Id
from .options import Json, Project


def review(job: Id, project: Project = Path(), as_json: Json = False) -> None:
    """Go through the least sure values of a job beside their documents, and set them right.

    What you confirm or correct counts from then on, and is written into the job's output when you
    leave. With --json the values that nobody has seen to are printed instead, the least sure first.
    """
    from ...tools import DocumentReader
    from ..jobs.extract import write_output
    from ..jobs.job import job_of
    from ..jobs.output import STANDARD_OUTPUT
    from ..jobs.review import Review
    from ..screens.review import ReviewScreen
    from ..state import STATE
    from .output import print_json
    from .project import opened_store

    with opened_store(project) as store:
        found = job_of(store, job)
        if as_json:
            print_json([asdict(reading) for reading in store.jobs.readings(found.id, count=-1)])
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise typer.BadParameter("a review is a screen in a terminal; --json prints the values")
        with DocumentReader(pictures=found.plan.pictures) as reader:
            under_review = Review(store, found, reader, project.resolve() / STATE)
            seen = ReviewScreen(under_review, found.id).run() or 0
        typer.echo(f"{seen} values seen to", err=True)
        if seen and found.plan.output not in (None, STANDARD_OUTPUT):
            typer.echo(f"Records: {write_output(store, found)}", err=True)
