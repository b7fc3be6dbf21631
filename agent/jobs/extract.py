"""Documents in, records out, from Python.

for record in extract("vendor, total: number", ["inbox"]):
    print(record.source, record.value)

async for record in extract(Invoice, ["inbox/*.pdf"], project="."):
    print(record.value.vendor)
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, overload

from pydantic import BaseModel, ValidationError

from ...engine import AnyEngine, load_engine
from ...memory import Correction, Job, JobDocument, JobPlan, Store, value_at
from ...tools import find_documents
from ..settings import Settings, read_settings
from ..state import state_of, store_of
from .job import JobRunner, plan_job
from .merge import Policy
from .output import STANDARD_OUTPUT, write_records
from .record import Record, place_of
from .schema import RecordSchema, read_schema

INSTRUCTIONS = "Fill in the record from the document."
BATCH = 8
"""Documents that are read side by side. On two cores, more are no faster (`make bench-batches`)."""

CORRECTED = "a person's word"
"""Why a corrected value stands nowhere, where the document was not at hand."""

Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")


@overload
def extract(
    schema: type[Model],
    paths: Sequence[str | Path],
    *,
    engine: AnyEngine | str = ...,
    instructions: str = ...,
    project: str | Path | None = ...,
    seed: int = ...,
    batch: int = ...,
    merge: Policy | None = ...,
) -> Extraction[Model]: ...
@overload
def extract(
    schema: str | Path | Mapping[str, Any],
    paths: Sequence[str | Path],
    *,
    engine: AnyEngine | str = ...,
    instructions: str = ...,
    project: str | Path | None = ...,
    seed: int = ...,
    batch: int = ...,
    merge: Policy | None = ...,
) -> Extraction[dict[str, Any]]: ...
def extract(
    schema: str | Path | type[BaseModel] | Mapping[str, Any],
    paths: Sequence[str | Path],
    *,
    engine: AnyEngine | str = "sketch",
    instructions: str = INSTRUCTIONS,
    project: str | Path | None = None,
    seed: int = 0,
    batch: int = BATCH,
    merge: Policy | None = None,
) -> Extraction[Any]:
    """A record of every document, in their order, as they come; a document that fails is a record
    with an `error`. Iterate over it, or `async for`.

    `schema` is whatever `read_schema` takes, `paths` whatever `find_documents` does. With a
    `project` the job is kept in its store: it can be resumed, and no document is read twice under
    the same schema, model and instructions.

    Raises:
        SchemaError: the schema cannot be read.
        ConstraintError: no model can be held to it.
        DocumentError: a path is of nothing.
    """
    found = read_schema(schema)
    sources = list(find_documents(paths))
    loaded = load_engine(engine) if isinstance(engine, str) else engine
    return Extraction(
        found,
        sources,
        loaded,
        None if project is None else Path(project),
        plan_of(
            found,
            loaded,
            engine if isinstance(engine, str) else loaded.name,
            instructions=instructions,
            seed=seed,
            batch=batch,
            merge=merge,
        ),
    )


def plan_of(
    schema: RecordSchema,
    engine: AnyEngine,
    model: str,
    *,
    instructions: str = INSTRUCTIONS,
    seed: int = 0,
    batch: int = BATCH,
    merge: Policy | None = None,
    folder: Path | None = None,
    output: str | None = None,
    cache: bool = True,
) -> JobPlan:
    """What a job is to do; its sources are relative to `folder`, or else to the working folder."""
    return JobPlan(
        schema=dict(schema.schema),
        schema_digest=schema.digest,
        model=model,
        weights=engine.digest,
        instructions=instructions,
        seed=seed,
        merge=merge,
        batch=batch,
        folder=str(folder or Path.cwd()),
        output=output,
        cache=cache,
        pictures=engine.sees,
    )


class Extraction(Generic[Value]):
    """Documents that become records while they are asked for."""

    def __init__(
        self,
        schema: RecordSchema,
        sources: Sequence[str],
        engine: AnyEngine,
        project: Path | None,
        plan: JobPlan,
    ) -> None:
        self._schema, self._sources = schema, sources
        self._engine, self._project, self._plan = engine, project, plan

    def __iter__(self) -> Iterator[Record[Value]]:
        with ExitStack() as stack:
            project = self._project
            if project is None:
                project = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            state = state_of(project)
            settings = Settings() if self._project is None else read_settings(project)
            store = stack.enter_context(Store(store_of(project, settings)))
            job = plan_job(store, self._plan, self._sources, engine=self._engine)
            runner = JobRunner(store, self._engine, state)
            for row in runner.rows(job):
                yield cast(Record[Value], record_of(row, model=self._schema.model))

    async def __aiter__(self) -> AsyncIterator[Record[Value]]:
        records = iter(self)
        try:
            while (record := await asyncio.to_thread(next, records, None)) is not None:
                yield record
        finally:
            await asyncio.to_thread(cast(Any, records).close)


def record_of(
    row: JobDocument,
    corrections: Iterable[Correction] = (),
    *,
    model: type[BaseModel] | None = None,
) -> Record[Any]:
    """A document's row as a record. What a person corrected is certain."""
    value, confidence, spans = row.value, dict(row.confidence), dict(row.spans)
    for correction in corrections:
        value = with_value(value, correction.pointer, correction.value)
        confidence[correction.pointer] = 1.0
        spans[correction.pointer] = correction.span or {"absent": CORRECTED}
    error = row.error
    if model is not None and value is not None:
        try:
            value = model.model_validate(value)
        except ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(map(str, first["loc"])) or "record"
            value, error = None, f"{place}: {first['msg']}"
    places = {pointer: place_of(place) for pointer, place in spans.items()}
    return Record(row.source, value, places, confidence, error)


def records_of(store: Store, job: Job, *, ended: bool = False) -> Iterator[Record[Any]]:
    """The records of a job as the store has them, corrected where a person did so, in the order of
    its documents; with `ended` only those that do not wait."""
    corrected: dict[int, list[Correction]] = {}
    for correction in store.jobs.corrections(job.id):
        corrected.setdefault(correction.number, []).append(correction)
    for row in store.jobs.documents(job.id):
        if not (ended and row.state == "waiting"):
            yield record_of(row, corrected.get(row.number, ()))


def write_output(store: Store, job: Job) -> str:
    """Write a job's records where it was told to; returns the file's name, which is another one
    while documents wait. Raises `OutputError`."""
    whole = not store.jobs.counts(job.id).waiting
    records = records_of(store, job, ended=not whole)
    output = job.plan.output or STANDARD_OUTPUT
    return write_records(output, records, job.plan.schema, whole=whole)


def with_value(value: Any, pointer: str, new: Any) -> Any:
    """A value with another part at a JSON pointer. Raises `JobError` where there is none."""
    value_at(value, pointer)  # it is there
    step, _, rest = pointer[1:].partition("/")
    key = step.replace("~1", "/").replace("~0", "~")
    index = int(key) if isinstance(value, list) else key
    changed: Any = list(value) if isinstance(value, list) else dict(value)
    changed[index] = with_value(changed[index], f"/{rest}", new) if rest else new
    return changed
