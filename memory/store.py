"""The store: runs, their messages, what they saved, and the ledger; beside them the memory, the
inbox, the mail and the audit log.

Every write may be repeated: the first one counts. That is what lets a durable step run twice
(a kill between a write and its checkpoint) without doubling anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Row, Select, Update, func, select, update

from .audit import Audit
from .database import Database
from .grants import Grants
from .inbox import Inbox
from .jobs import Jobs
from .ledger import Ledger
from .mail import Mail
from .memory import Memory
from .rows import Record, Run, RunState, StoredMessage, Wanted, run_of, time_of
from .schedules import Schedules
from .tables import inbox, messages, records, runs
from .upsert import add_once
from .vectors import Embedding

ACTIVE: tuple[RunState, ...] = ("queued", "running")

# A run in one of these goes on as its next part when its time has come.
READY: tuple[RunState, ...] = ("waiting", "retrying")

# In one of these it is not under way, but has not ended.
IDLE: tuple[RunState, ...] = (*READY, "paused")

# In one of these it goes on when the person resumes it.
RESUMABLE: tuple[RunState, ...] = ("retrying", "paused", "stopped", "failed")

BY_THE_PERSON = "by the person"


class Store:
    """One project's store. Safe to use from several threads and processes."""

    def __init__(
        self,
        url: str | Path,
        *,
        busy_timeout: float = 30.0,
        embedding: Embedding | None = None,
    ) -> None:
        self._database = Database(url, busy_timeout=busy_timeout)
        self.memory = Memory(self._database, embedding=embedding)
        self.inbox = Inbox(self._database)
        self.grants = Grants(self._database)
        self.mail = Mail(self._database)
        self.audit = Audit(self._database)
        self.schedules = Schedules(self._database)
        self.jobs = Jobs(self._database)
        self.ledger = Ledger(self._database)

    @property
    def name(self) -> str:
        """As a message should call it: a file, or where in PostgreSQL."""
        return self._database.name

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    # runs

    def add_run(self, run: Run, job: Mapping[str, Any] | None = None) -> bool:
        """Add a run with what it is given to do; False if it is there already."""
        row = asdict(run) | {
            "queued": run.queued.timestamp(),
            "started": _seconds(run.started),
            "ended": _seconds(run.ended),
            "due": _seconds(run.due),
            "job": None if job is None else dict(job),
        }
        with self._database.write() as connection:
            return add_once(connection, runs, row)

    def job(self, run: str) -> Mapping[str, Any] | None:
        """What the run was given to do."""
        found = self._all(select(runs.c.job).where(runs.c.id == run))
        return found[0].job if found else None

    def start_run(self, run: str, *, at: datetime) -> None:
        """A run that starts again after a crash, or goes on, keeps its first start."""
        started = func.coalesce(runs.c.started, at.timestamp())
        with self._database.write() as connection:
            connection.execute(_change(run, ("queued",)).values(state="running", started=started))

    def end_run(
        self,
        run: str,
        state: RunState,
        *,
        reason: str | None,
        at: datetime,
        due: datetime | None = None,
    ) -> RunState:
        """End a run, or a part of it; the state that it has then. A run that has ended stays as it
        ended; one that could go on is paused or cancelled where the person wants that by now."""
        values = {"state": state, "reason": reason, "ended": at.timestamp(), "due": _seconds(due)}
        statement = _change(run, ACTIVE).values(**values, wanted=None)
        with self._database.write() as connection:
            wanted = _locked(connection, run)
            if wanted == "cancel" and state in (*IDLE, *RESUMABLE):
                statement = statement.values(state="cancelled", reason=BY_THE_PERSON, due=None)
            elif wanted == "pause" and state in READY:
                statement = statement.values(state="paused", reason=BY_THE_PERSON, due=None)
            connection.execute(statement)
            return connection.execute(select(runs.c.state).where(runs.c.id == run)).scalar_one()

    def continue_run(self, run: str, part: int, job: Mapping[str, Any]) -> bool:
        """Queue the part of a run that follows `part`, with its job; False where it is not this
        part that has ended, or the run is not to go on (any more)."""
        statement = (
            _change(run, READY)
            .where(runs.c.part == part)
            .values(state="queued", part=part + 1, job=dict(job))
            .values(reason=None, ended=None, due=None, wanted=None)
        )
        with self._database.write() as connection:
            return connection.execute(statement).rowcount == 1

    def resume(self, run: str) -> bool:
        """Let a run go on that was paused (or was to be), stopped, or has failed; False where it
        cannot."""
        kept = _change(run, ACTIVE).where(runs.c.wanted == "pause").values(wanted=None)
        ended = _change(run, RESUMABLE).where(runs.c.job.is_not(None))
        # Due without a time: not the try that its agent's `retry` allows.
        again = ended.values(state="retrying", due=None)
        with self._database.write() as connection:
            _locked(connection, run)
            return any(connection.execute(change).rowcount for change in (kept, again))

    def want(self, run: str, wanted: Wanted, *, at: datetime) -> bool:
        """Ask a run to pause or to be cancelled: at its next step when it is under way, at once
        when it is not. False where it has ended, or is to be cancelled already."""
        free = runs.c.wanted.is_distinct_from("cancel")
        ask = _change(run, ACTIVE).where(free).values(wanted=wanted)
        values = {"state": "cancelled" if wanted == "cancel" else "paused", "due": None}
        values |= {"reason": BY_THE_PERSON, "ended": at.timestamp()}
        end = _change(run, IDLE).values(values)
        with self._database.write() as connection:
            _locked(connection, run)
            return any(connection.execute(change).rowcount for change in (ask, end))

    def wanted(self, run: str) -> Wanted | None:
        found = self._all(select(runs.c.wanted).where(runs.c.id == run))
        return cast(Wanted | None, found[0].wanted) if found else None

    def ready_runs(self, now: datetime) -> list[Run]:
        """The runs that should go on by now: the person has said all that they waited for, or the
        time to try again has come."""
        asked = select(inbox.c.run).where(inbox.c.verdict.is_(None), inbox.c.kind != "message")
        answered = (runs.c.state == "waiting") & runs.c.id.not_in(asked)
        come = runs.c.due.is_(None) | (runs.c.due <= now.timestamp())
        due = (runs.c.state == "retrying") & come
        return [run_of(row) for row in self._all(select(runs).where(answered | due))]

    def run(self, run: str) -> Run | None:
        found = self._all(select(runs).where(runs.c.id == run))
        return run_of(found[0]) if found else None

    def runs(
        self,
        *,
        agent: str | None = None,
        state: RunState | None = None,
        count: int | None = None,
        newest: bool = False,
    ) -> list[Run]:
        """The runs, oldest first or the `newest`, at most `count`."""
        order = (runs.c.queued, runs.c.id)
        if newest:
            order = (runs.c.queued.desc(), runs.c.id.desc())
        statement = select(runs).order_by(*order).limit(count)
        if agent is not None:
            statement = statement.where(runs.c.agent == agent)
        if state is not None:
            statement = statement.where(runs.c.state == state)
        return [run_of(row) for row in self._all(statement)]

    def run_counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        statement = select(runs.c.state, func.count().label("number")).group_by(runs.c.state)
        return {row.state: row.number for row in self._all(statement)}

    def queued_counts(self) -> dict[str, int]:
        """How many runs of each agent are queued."""
        statement = select(runs.c.agent, func.count().label("number")).group_by(runs.c.agent)
        rows = self._all(statement.where(runs.c.state == "queued"))
        return {row.agent: row.number for row in rows}

    def last_runs(self) -> dict[str, Run]:
        """Each agent's run that was queued last."""
        newest = select(runs.c.agent, func.max(runs.c.queued).label("queued"))
        newest = newest.group_by(runs.c.agent).subquery()
        same = (runs.c.agent == newest.c.agent) & (runs.c.queued == newest.c.queued)
        statement = select(runs).join(newest, same).order_by(runs.c.id)
        return {row.agent: run_of(row) for row in self._all(statement)}

    def last_run(self, agent: str) -> Run | None:
        """The agent's run that was queued last."""
        statement = select(runs).where(runs.c.agent == agent)
        found = self._all(statement.order_by(runs.c.queued.desc(), runs.c.id.desc()).limit(1))
        return run_of(found[0]) if found else None

    # messages

    def add_messages(self, run: str, conversation: Sequence[StoredMessage]) -> None:
        with self._database.write() as connection:
            for message in conversation:
                lists = {"tool_calls": list(message.tool_calls), "images": list(message.images)}
                add_once(connection, messages, asdict(message) | {"run": run} | lists)

    def messages(self, run: str) -> list[StoredMessage]:
        statement = select(messages).where(messages.c.run == run).order_by(messages.c.position)
        return [
            StoredMessage(
                row.position,
                row.role,
                row.content,
                tuple(row.tool_calls),
                row.name,
                tuple(row.images),
            )
            for row in self._all(statement)
        ]

    # records

    def add_record(
        self,
        data: Mapping[str, Any],
        *,
        key: str,
        run: str,
        agent: str,
        source: str | None,
        at: datetime,
    ) -> None:
        row = {"key": key, "run": run, "agent": agent, "source": source}
        row |= {"data": dict(data), "at": at.timestamp()}
        with self._database.write() as connection:
            add_once(connection, records, row)

    def records(self, *, agent: str | None = None, run: str | None = None) -> list[Record]:
        """What was saved, oldest first."""
        statement = select(records).order_by(records.c.at, records.c.key)
        if agent is not None:
            statement = statement.where(records.c.agent == agent)
        if run is not None:
            statement = statement.where(records.c.run == run)
        return [
            Record(row.key, row.run, row.agent, row.source, row.data, time_of(row.at))
            for row in self._all(statement)
        ]

    def _all(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Row[Any]]:
        with self._database.read() as connection:
            return connection.execute(statement).all()


def _locked(connection: Connection, run: str) -> Any:
    """What is wanted of a run, which nobody else changes until the end of the transaction."""
    return connection.execute(
        select(runs.c.wanted).where(runs.c.id == run).with_for_update()
    ).scalar()


def _change(run: str, states: Sequence[RunState]) -> Update:
    """A change of a run that is in one of the states."""
    return update(runs).where(runs.c.id == run, runs.c.state.in_(states))


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
