"""What a job came to, as a person wants to know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ...memory import Job, JobCounts, Reading, Store
from ..cost.report import Basis, Cost, cost_of
from .job import state_of

LEAST_SURE = 5


@dataclass(frozen=True)
class Summary:
    """`pictures` says whether pages that are pictures were shown to the model. `seconds` are those
    of all sittings, from the first start to the last end; `absent` counts the documents that lack a
    field. `output` is the file that is there, which has all of the job's records where the job is
    done."""

    job: str
    state: str
    reason: str | None
    model: str
    pictures: bool
    documents: int
    counts: JobCounts
    failures: Sequence[tuple[str, int]]
    absent: Sequence[tuple[str, int]]
    least_sure: Sequence[Reading]
    queued: datetime
    seconds: float | None
    cost: Cost
    output: str | None

    @property
    def steps_per_canvas(self) -> float | None:
        return self.cost.work.steps_per_canvas


def summary_of(store: Store, job: Job, state: Path, basis: Basis) -> Summary:
    """How a job stands by now; `state` is the folder of the project's state."""
    how, reason = state_of(job, state)
    started, ended = job.run.started, job.run.ended
    seconds = None if started is None or ended is None else (ended - started).total_seconds()
    return Summary(
        job=job.id,
        state=how,
        reason=reason,
        model=job.plan.model,
        pictures=job.plan.pictures,
        documents=job.documents or 0,
        counts=store.jobs.counts(job.id),
        failures=store.jobs.failures(job.id),
        absent=store.jobs.absent(job.id),
        least_sure=store.jobs.readings(job.id, count=LEAST_SURE),
        queued=job.run.queued,
        seconds=seconds,
        cost=cost_of(store.ledger.spends(run=job.id), basis),
        output=_there(job.plan.output),
    )


def _there(output: str | None) -> str | None:
    from .output import partial

    if output is None:
        return None
    return next((name for name in (output, partial(output)) if Path(name).exists()), None)
