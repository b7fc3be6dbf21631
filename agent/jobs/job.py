"""A job: one schema over many documents, each of which becomes a row.

A job is planned once: its documents are numbered in the order in which they were found. It is
carried out chunk by chunk, in that order, and each chunk is kept in one transaction. There is no
journal beside the rows: what waits is what is left to do, so a job that died goes on where its last
chunk ended. Documents are read one chunk ahead, while the engine works; no more than two chunks are
in memory at any time.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...engine import AnyEngine
from ...memory import DocumentState, Job, JobDocument, JobPlan, Run, RunState, Store, StoreError
from ...tools import STANDARD_INPUT, DocumentError, DocumentReader
from ..errors import ProjectError, RunError
from .chunk import Chunk, Extractor, Opened
from .lock import FOLDER as LOCKS
from .lock import carrying_out, is_carried_out

AGENT = "extract"
"""Whose a job is, and its entries in the ledger, that no agent began."""
TRIGGER = "job"
KILLED = "it was killed"
BY_THE_PERSON = "by the person"

Watch = Callable[[Chunk], None]
"""Told of every chunk once it is kept."""


def plan_job(
    store: Store, plan: JobPlan, sources: Iterable[str], *, engine: AnyEngine, agent: str = AGENT
) -> Job:
    """Add a job to the store, with its documents."""
    run = Run(
        id=f"{agent}-{uuid.uuid4().hex[:12]}",
        agent=agent,
        trigger=TRIGGER,
        input=plan.instructions,
        state="queued",
        model=engine.name,
        queued=datetime.now(UTC),
    )
    return store.jobs.add(run, plan, sources)


def job_of(store: Store, name: str) -> Job:
    """The job of a name, or of the only one that begins so. Raises `ProjectError`."""
    found = store.jobs.get(name)
    if found is not None:
        return found
    alike = [job for job in store.jobs.all() if job.id.startswith(name)]
    if len(alike) != 1:
        what = f"{len(alike)} jobs begin so" if alike else "there is no such job"
        raise ProjectError(f"{name}: {what}; see gesso jobs list")
    return alike[0]


def path_of(job: Job, source: str, state: Path) -> str:
    """Where a document of a job lies, from whichever folder one looks. Standard input can be read
    only once, so it is kept beside the job's lock."""
    if source == STANDARD_INPUT:
        return str(state / LOCKS / f"{job.id}.stdin")
    return os.path.join(job.plan.folder, source)


def keep_standard_input(job: Job, state: Path, most: int) -> None:
    """Keep standard input, unless it is kept already, up to one byte more than `most`."""
    file = Path(path_of(job, STANDARD_INPUT, state))
    if not file.exists():
        partial = file.with_suffix(".partial")
        partial.write_bytes(sys.stdin.buffer.read(most + 1))
        partial.replace(file)


def state_of(job: Job, state: Path) -> tuple[RunState, str | None]:
    """How a job stands, and why. The row of one that was killed still says that it runs."""
    if job.run.state in ("queued", "running") and not is_carried_out(state, job.id):
        return "stopped", KILLED
    return job.run.state, job.run.reason


def cancel_job(store: Store, job: Job, state: Path) -> bool:
    """End a job for good: at its next chunk where it is under way. False where it has ended."""
    now = datetime.now(UTC)
    if is_carried_out(state, job.id):
        return store.want(job.id, "cancel", at=now)
    return store.jobs.cancel(job.id, reason=BY_THE_PERSON, at=now)


@dataclass(frozen=True)
class JobRunner:
    """Carries jobs out. `state` is the folder of the project's state."""

    store: Store
    engine: AnyEngine
    state: Path

    def rows(
        self, job: Job, *, waiting: bool = False, watch: Watch | None = None
    ) -> Generator[JobDocument]:
        """Carry a job out, or on: its documents in their order, those that were done before too
        unless only the `waiting` ones are asked for, as they are kept in the store.

        Whoever leaves off in the middle, or is interrupted, leaves the job stopped.

        Raises:
            InstanceError: another process carries it out.
            RunError: it cannot go on: it was cancelled, was never planned to its end, or was begun
                with other weights.
        """
        with carrying_out(self.state, job.id):
            self._check(job)
            end: tuple[RunState, str | None] = ("failed", None)
            try:
                yield from self._chunks(job, waiting, watch)
                end = ("done", None)
            except _Wanted as wanted:
                end = (wanted.state, BY_THE_PERSON)
            except (GeneratorExit, KeyboardInterrupt):
                end = ("stopped", "interrupted")
                raise
            except BaseException as error:
                end = ("failed", f"{type(error).__name__}: {error}")
                raise
            finally:
                with suppress(StoreError):  # it stays marked as running, by nobody: as if killed
                    self.store.end_run(job.id, end[0], reason=end[1], at=datetime.now(UTC))

    def _check(self, job: Job) -> None:
        if job.documents is None:
            raise RunError(f"{job.id}: was killed before it knew its documents; begin a new job")
        if job.plan.weights != self.engine.digest:
            raise RunError(
                f"{job.id}: {job.plan.model} has other weights now than when it was begun, and one"
                " job is one model's; begin a new job"
            )
        if not self.store.jobs.begin(job.id, at=datetime.now(UTC)):
            raise RunError(f"{job.id}: was cancelled; begin a new job")

    def _chunks(self, job: Job, waiting: bool, watch: Watch | None) -> Iterator[JobDocument]:
        extractor = Extractor(self.engine, self.store, job)
        reading = ThreadPoolExecutor(1, thread_name_prefix="documents")
        try:
            with DocumentReader(pictures=job.plan.pictures) as reader:

                def read(first: int) -> Future[_Page]:
                    return reading.submit(self._read, job, first, waiting, reader)

                ahead = read(0)
                while (page := ahead.result()).rows:
                    ahead = read(page.rows[-1].number + 1)
                    self._heed(job)
                    if page.opened:
                        chunk = extractor.extract(page.opened)
                        self.store.jobs.keep(
                            job.id,
                            chunk.documents,
                            extracted=chunk.extracted,
                            entries=chunk.entries,
                            at=datetime.now(UTC),
                        )
                        if watch is not None:
                            watch(chunk)
                        page.replace(chunk)
                    yield from page.rows
        finally:
            reading.shutdown(wait=False, cancel_futures=True)

    def _read(self, job: Job, first: int, waiting: bool, reader: DocumentReader) -> _Page:
        """The chunk that begins at a number: its rows, and those of its documents that wait."""
        state: DocumentState | None = "waiting" if waiting else None
        rows = self.store.jobs.page(job.id, state=state, first=first, count=job.plan.batch)
        opened = []
        for row in rows:
            if row.state == "waiting":
                try:
                    if row.source == STANDARD_INPUT:
                        keep_standard_input(job, self.state, reader.limits.size)
                    opened.append(Opened(row, reader.read(path_of(job, row.source, self.state))))
                except DocumentError as error:
                    opened.append(Opened(row, None, str(error)))
        return _Page(rows, opened)

    def _heed(self, job: Job) -> None:
        wanted = self.store.wanted(job.id)
        if wanted is not None:
            raise _Wanted("cancelled" if wanted == "cancel" else "paused")


class _Wanted(Exception):  # noqa: N818 - an ending is no error
    def __init__(self, state: RunState) -> None:
        super().__init__(state)
        self.state: RunState = state


@dataclass
class _Page:
    """A chunk as the store has it, with its documents that wait opened."""

    rows: list[JobDocument]
    opened: list[Opened]

    def replace(self, chunk: Chunk) -> None:
        ended = {row.number: row for row in chunk.documents}
        self.rows = [ended.get(row.number, row) for row in self.rows]
