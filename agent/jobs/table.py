"""A table that grows: an agent's documents, a row each, under one job that is never over.

The job belongs to the agent and to the file that its rows are written to. A document that comes
again is read again, and paid for where it says something new. When the fields, the instructions or
the weights change, a new job takes the documents over: a table is never of two kinds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...engine import AnyEngine
from ...memory import Job, JobDocument, JobPlan, Store
from ...tools import Workspace, WorkspaceError
from .extract import plan_of, write_output
from .job import JobRunner, plan_job
from .output import check_output
from .schema import RecordSchema, read_schema

WRITING_SHARE = 20
"""While more documents are to come, a table is written when so many times the seconds that it took
last have gone by: a thousand files are not a thousand tables."""


@dataclass(frozen=True)
class Table:
    """What an agent's documents become: `fields` is a short form, or a JSON Schema's file in the
    project; `output` the table's file there."""

    agent: str
    model: str
    instructions: str
    fields: str
    output: str


class Tables:
    """The tables of a project. `engine` finds the engine of a model's name, `state` is the folder
    of the project's state."""

    def __init__(
        self, *, engine: Callable[[str], AnyEngine], store: Store, workspace: Workspace, state: Path
    ) -> None:
        self._engine = engine
        self._store = store
        self._workspace = workspace
        self._state = state
        self._one = threading.Lock()
        self._written: dict[str, tuple[float, float]] = {}  # when, and how long it took

    def add(
        self, table: Table, sources: Iterable[str], *, behind: Iterable[str] = ()
    ) -> list[JobDocument]:
        """Make a row of each document, and write the table; the rows of all that waited. Those that
        come `behind` them are read at their side, where they are there; as each is added in its own
        turn too, the table may be written later.

        Raises:
            SchemaError, OutputError, WorkspaceError: the fields, the file or a source is wrong.
            RunError, InstanceError: the job cannot be carried out, or another process does so.
        """
        schema, output = self.check(table)
        names = [self._name(source) for source in sources]
        beside = list(self._there(behind))
        with self._one:
            engine = self._engine(table.model)
            job = self._job(table, schema, output, engine)
            job = self._store.jobs.extend(job, [*names, *beside])
            runner = JobRunner(self._store, engine, self._state)
            rows = list(runner.rows(job, waiting=True))
            written, took = self._written.get(job.id, (0.0, 0.0))
            start = time.monotonic()
            if not beside or start - written > WRITING_SHARE * took:
                write_output(self._store, job)
                self._written[job.id] = time.monotonic(), time.monotonic() - start
        return rows

    def _name(self, source: str) -> str:
        return self._workspace.name(self._workspace.regular(source))

    def _there(self, sources: Iterable[str]) -> Iterator[str]:
        for source in sources:
            with suppress(WorkspaceError):  # its own turn says so
                yield self._name(source)

    def check(self, table: Table) -> tuple[RecordSchema, Path]:
        """What a table's rows are like, and where they go. Raises as `add` does."""
        file = self._workspace.root / table.fields
        schema = read_schema(file if table.fields.endswith(".json") else table.fields)
        output = self._workspace.writable(table.output)
        check_output(str(output))
        return schema, output

    def _job(self, table: Table, schema: RecordSchema, output: Path, engine: AnyEngine) -> Job:
        plan = plan_of(
            schema,
            engine,
            table.model,
            instructions=table.instructions,
            folder=self._workspace.root,
            output=str(output),
        )
        former = self._former(table.agent, plan)
        if former is not None and former.plan == plan:
            return former
        known = () if former is None else self._store.jobs.documents(former.id)
        sources = (document.source for document in known)
        return plan_job(self._store, plan, sources, engine=engine, agent=table.agent)

    def _former(self, agent: str, plan: JobPlan) -> Job | None:
        """The job that the table's rows were under so far. One that was cancelled is over; one that
        was killed before it knew its documents never began."""
        jobs = [job for job in self._store.jobs.all() if job.run.agent == agent]
        mine = [job for job in jobs if job.plan.output == plan.output and job.documents is not None]
        return mine[-1] if mine and mine[-1].run.state != "cancelled" else None
