"""Document jobs: a row a document, what was paid for before, and what the person corrected.

A job *is* a run, so its state, what the person wants of it and its ledger stand where every run's
do. The rows *are* the checkpoint: a chunk of documents is kept in one transaction, with what it
cost, and the first write of a row counts. So a job needs no journal: what waits is what is left to
do. Nothing here holds all documents of a job at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy import cast as sql_cast

from .database import Database
from .errors import JobError
from .functions import number_in, text_in
from .ledger import enter
from .rows import (
    Correction,
    DocumentState,
    Extraction,
    Job,
    JobCounts,
    JobDocument,
    JobPlan,
    LedgerEntry,
    Reading,
    Run,
    run_of,
    time_of,
)
from .tables import corrections, extractions, job_documents, jobs, runs
from .upsert import add_once, put

PAGE = 200
"""Documents that are read from the store at a time."""
TAKEN = 500
"""Documents that are written to it at a time, while a job is planned."""


class Jobs:
    """The jobs of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # the plan

    def add(self, run: Run, plan: JobPlan, sources: Iterable[str]) -> Job:
        """Add a job with its documents, numbered as they come."""
        row = asdict(run) | {"queued": run.queued.timestamp(), "started": None, "ended": None}
        with self._database.write() as connection:
            connection.execute(insert(runs).values(**row, job=None))
            connection.execute(insert(jobs).values(run=run.id, plan=asdict(plan)))
        count = 0
        for page in _pages(sources):
            rows = [{"job": run.id, "number": n, "source": s} for n, s in enumerate(page, count)]
            with self._database.write() as connection:
                connection.execute(insert(job_documents), rows)
            count += len(rows)
        with self._database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.run == run.id).values(documents=count))
        return Job(run, plan, count)

    def extend(self, job: Job, sources: Sequence[str]) -> Job:
        """Add documents to a job; one that it has already is to be read again."""
        mine = job_documents.c.job == job.id
        with self._database.write(alone=True) as connection:
            count = connection.execute(select(func.count()).where(mine)).scalar_one()
            for source in dict.fromkeys(sources):
                known = update(job_documents).where(mine, job_documents.c.source == source)
                ended = sql_cast(job_documents.c.state != "waiting", Integer)
                again = known.values(state="waiting", tries=job_documents.c.tries + ended)
                if not connection.execute(again).rowcount:
                    row = {"job": job.id, "number": count, "source": source}
                    connection.execute(insert(job_documents).values(row))
                    count += 1
            connection.execute(update(jobs).where(jobs.c.run == job.id).values(documents=count))
        return replace(job, documents=count)

    def get(self, job: str) -> Job | None:
        with self._database.read() as connection:
            row = connection.execute(_jobs().where(jobs.c.run == job)).first()
        return None if row is None else _job(row)

    def all(self) -> list[Job]:
        """All jobs, oldest first."""
        with self._database.read() as connection:
            found = connection.execute(_jobs().order_by(runs.c.queued, runs.c.id))
            return [_job(row) for row in found]

    # its life

    def begin(self, job: str, *, at: datetime) -> bool:
        """Mark a job as under way, from whatever it was left in; False where it was cancelled, for
        that is for good."""
        change = update(runs).where(runs.c.id == job, runs.c.state != "cancelled")
        started = func.coalesce(runs.c.started, at.timestamp())
        change = change.values(state="running", started=started, ended=None, reason=None)
        with self._database.write() as connection:
            return connection.execute(change.values(wanted=None)).rowcount == 1

    def cancel(self, job: str, *, reason: str, at: datetime) -> bool:
        """End a job that nobody carries out, for good; False where it is done or cancelled."""
        change = update(runs).where(runs.c.id == job, runs.c.state.not_in(("done", "cancelled")))
        change = change.values(state="cancelled", reason=reason, ended=at.timestamp(), wanted=None)
        with self._database.write() as connection:
            return connection.execute(change).rowcount == 1

    def retry_failed(self, job: str) -> int:
        """Let every document that failed wait again; how many there are."""
        failed = update(job_documents).where(
            job_documents.c.job == job, job_documents.c.state == "failed"
        )
        again = failed.values(state="waiting", tries=job_documents.c.tries + 1, error=None)
        with self._database.write() as connection:
            return connection.execute(again).rowcount

    def keep(
        self,
        job: str,
        documents: Sequence[JobDocument],
        *,
        extracted: Sequence[Extraction],
        entries: Sequence[LedgerEntry],
        at: datetime,
    ) -> None:
        """Keep how documents ended that were waiting, what can be used again, and what it cost:
        all of it or nothing. What was corrected in a document that says other things now goes."""
        with self._database.write(alone=True) as connection:
            for document in documents:
                _forget(connection, job, document)
                row = asdict(document)
                number = row.pop("number")
                waiting = update(job_documents).where(
                    job_documents.c.job == job,
                    job_documents.c.number == number,
                    job_documents.c.state == "waiting",
                )
                connection.execute(waiting.values(row))
            for one in extracted:
                add_once(connection, extractions, asdict(one) | {"at": at.timestamp()})
            enter(connection, entries)

    # what it holds

    def documents(
        self, job: str, *, state: DocumentState | None = None, first: int = 0
    ) -> Iterator[JobDocument]:
        """The documents of a job in their order, from the number `first` on; read as they are
        asked for."""
        while page := self.page(job, state=state, first=first):
            yield from page
            first = page[-1].number + 1

    def page(
        self, job: str, *, state: DocumentState | None = None, first: int = 0, count: int = PAGE
    ) -> list[JobDocument]:
        """At most `count` documents, from the number `first` on."""
        statement = select(job_documents).where(
            job_documents.c.job == job, job_documents.c.number >= first
        )
        if state is not None:
            statement = statement.where(job_documents.c.state == state)
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(job_documents.c.number).limit(count))
            return [_document(row) for row in found]

    def document(self, job: str, number: int) -> JobDocument:
        """One document. Raises `JobError` where there is none of this number."""
        found = self.page(job, first=number, count=1)
        if not found or found[0].number != number:
            raise JobError(f"{job}: has no document {number}")
        return found[0]

    def counts(self, job: str) -> JobCounts:
        statement = select(
            job_documents.c.state,
            func.count().label("number"),
            func.sum(sql_cast(job_documents.c.cached, Integer)).label("cached"),
        )
        statement = statement.where(job_documents.c.job == job).group_by(job_documents.c.state)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        numbers = {row.state: row.number for row in rows}
        return JobCounts(**numbers, cached=sum(row.cached for row in rows))

    def failures(self, job: str, count: int = 20) -> list[tuple[str, int]]:
        """Why documents failed, and how many did so; the most frequent reasons first."""
        number = func.count().label("number")
        statement = select(job_documents.c.error, number)
        statement = statement.where(job_documents.c.job == job, job_documents.c.state == "failed")
        statement = statement.group_by(job_documents.c.error).order_by(number.desc())
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(job_documents.c.error).limit(count))
            return [(row.error, row.number) for row in found]

    def absent(self, job: str, count: int = 20) -> list[tuple[str, int]]:
        """The fields that documents lack, by their JSON pointers, and how many lack them; the most
        frequent first."""
        each = func.json_each(job_documents.c.spans).table_valued("key", "value")
        lacks = text_in(each.c.value, literal_column("'absent'")).is_not(None)
        number = func.count().label("number")
        statement = select(each.c.key, number).select_from(job_documents.join(each, true()))
        statement = statement.where(job_documents.c.job == job, lacks).group_by(each.c.key)
        with self._database.read() as connection:
            found = connection.execute(
                statement.order_by(number.desc(), each.c.key).limit(count)
            ).all()
        return [(row.key, row.number) for row in found]

    # what was paid for

    def extracted(self, keys: Sequence[str]) -> dict[str, Extraction]:
        """What is known already, of these."""
        with self._database.read() as connection:
            found = connection.execute(select(extractions).where(extractions.c.key.in_(keys)))
            return {row.key: Extraction(row.key, row.value, row.confidence) for row in found}

    # the person's word

    def readings(self, job: str, *, first: int = 0, count: int = PAGE) -> list[Reading]:
        """The values of the records that no person has corrected, the least sure first."""
        each = func.json_each(job_documents.c.confidence).table_valued("key", "value")
        sure = number_in(each.c.value)
        corrected = exists().where(
            corrections.c.job == job_documents.c.job,
            corrections.c.number == job_documents.c.number,
            corrections.c.pointer == each.c.key,
        )
        statement = (
            select(job_documents, each.c.key, sure.label("sure"))
            .select_from(job_documents.join(each, true()))
            .where(job_documents.c.job == job, job_documents.c.state == "done", ~corrected)
            .order_by(sure, job_documents.c.number, each.c.key)
        )
        with self._database.read() as connection:
            found = connection.execute(statement.offset(first).limit(count)).all()
        return [
            Reading(
                row.number,
                row.source,
                row.key,
                value_at(row.value, row.key),
                row.sure,
                row.spans.get(row.key),
            )
            for row in found
        ]

    def correct(
        self,
        job: str,
        number: int,
        pointer: str,
        value: Any,
        *,
        span: Mapping[str, Any] | None = None,
        at: datetime,
    ) -> None:
        """Write down what a value is. What the person says last counts; what the model said stays
        as it was.

        Raises:
            JobError: there is no such value.
        """
        document = self.document(job, number)
        if document.state != "done":
            raise JobError(f"{job}: document {number} has no record: it is {document.state}")
        value_at(document.value, pointer)
        row = {"job": job, "number": number, "pointer": pointer, "value": value, "span": span}
        row |= {"at": at.timestamp()}
        with self._database.write() as connection:
            put(connection, corrections, row)

    def withdraw(self, job: str, number: int, pointer: str) -> bool:
        """Let what the model said of a value count again; False where nothing was corrected."""
        mine = (corrections.c.number == number, corrections.c.pointer == pointer)
        with self._database.write() as connection:
            gone = delete(corrections).where(corrections.c.job == job, *mine)
            return connection.execute(gone).rowcount == 1

    def corrections(self, job: str, first: int = 0, last: int | None = None) -> list[Correction]:
        """What was corrected in the documents from the number `first` to `last`."""
        statement = select(corrections).where(
            corrections.c.job == job, corrections.c.number >= first
        )
        if last is not None:
            statement = statement.where(corrections.c.number <= last)
        order = (corrections.c.number, corrections.c.pointer)
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(*order))
            return [
                Correction(row.number, row.pointer, row.value, row.span, time_of(row.at))
                for row in found
            ]


def _forget(connection: Connection, job: str, document: JobDocument) -> None:
    """The corrections of a document whose content is another one now."""
    same = (job_documents.c.job == job, job_documents.c.number == document.number)
    changed = exists().where(*same, job_documents.c.digest != document.digest)
    mine = (corrections.c.job == job, corrections.c.number == document.number)
    connection.execute(delete(corrections).where(*mine, changed))


def value_at(value: Any, pointer: str) -> Any:
    """The part of a value that a JSON pointer names. Raises `JobError` where there is none."""
    try:
        for token in pointer.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]
    except (LookupError, TypeError, ValueError):
        raise JobError(f"{pointer}: the record has no such value") from None
    return value


def _pages(sources: Iterable[str]) -> Iterator[list[str]]:
    page = list[str]()
    for source in sources:
        page.append(source)
        if len(page) == TAKEN:
            yield page
            page = []
    if page:
        yield page


def _jobs() -> Select[*tuple[Any, ...]]:
    """Jobs with their runs."""
    mine = [jobs.c.plan, jobs.c.documents]
    return select(runs, *mine).join(jobs, and_(jobs.c.run == runs.c.id))


def _job(row: Row[Any]) -> Job:
    return Job(run_of(row), JobPlan(**row.plan), row.documents)


def _document(row: Row[Any]) -> JobDocument:
    return JobDocument(
        number=row.number,
        source=row.source,
        state=cast(DocumentState, row.state),
        tries=row.tries,
        digest=row.digest,
        value=row.value,
        spans=row.spans,
        confidence=row.confidence,
        error=row.error,
        cached=row.cached,
    )
