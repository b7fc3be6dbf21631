"""The store: runs, their messages, what they saved, and the ledger; the memory beside them.

Every write may be repeated: the first one counts. That is what lets a durable step run twice
(a kill between a write and its checkpoint) without doubling anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Row, Select, select, update
from sqlalchemy.dialects.sqlite import insert

from .database import Database
from .memory import Memory
from .rows import LedgerEntry, Record, Run, RunState, StoredMessage, time_of
from .schedules import Schedules
from .tables import ledger, messages, records, runs


class Store:
    """One project's store. Safe to use from several threads and processes."""

    def __init__(self, url: str | Path, *, busy_timeout: float = 30.0) -> None:
        self._database = Database(url, busy_timeout=busy_timeout)
        self.memory = Memory(self._database)
        self.schedules = Schedules(self._database)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    # runs

    def add_run(self, run: Run) -> bool:
        """Add a run; False if it is there already."""
        row = asdict(run) | {
            "queued": run.queued.timestamp(),
            "started": _seconds(run.started),
            "ended": _seconds(run.ended),
        }
        with self._database.write() as connection:
            return connection.execute(_once(runs, row)).rowcount == 1

    def start_run(self, run: str, *, at: datetime) -> None:
        """A run that starts again after a crash keeps its first start."""
        self._change_run(run, ("queued",), state="running", started=at.timestamp())

    def end_run(self, run: str, state: RunState, *, reason: str | None, at: datetime) -> None:
        """End a run; a run that has ended stays as it ended."""
        self._change_run(
            run, ("queued", "running"), state=state, reason=reason, ended=at.timestamp()
        )

    def _change_run(self, run: str, states: Sequence[str], **values: Any) -> None:
        statement = update(runs).where(runs.c.id == run, runs.c.state.in_(states)).values(**values)
        with self._database.write() as connection:
            connection.execute(statement)

    def run(self, run: str) -> Run | None:
        found = self._all(select(runs).where(runs.c.id == run))
        return _run(found[0]) if found else None

    def runs(self, *, agent: str | None = None, state: RunState | None = None) -> list[Run]:
        """All runs, oldest first."""
        statement = select(runs).order_by(runs.c.queued, runs.c.id)
        if agent is not None:
            statement = statement.where(runs.c.agent == agent)
        if state is not None:
            statement = statement.where(runs.c.state == state)
        return [_run(row) for row in self._all(statement)]

    # messages

    def add_messages(self, run: str, conversation: Sequence[StoredMessage]) -> None:
        with self._database.write() as connection:
            for message in conversation:
                row = asdict(message) | {"run": run, "tool_calls": list(message.tool_calls)}
                connection.execute(_once(messages, row))

    def messages(self, run: str) -> list[StoredMessage]:
        statement = select(messages).where(messages.c.run == run).order_by(messages.c.position)
        return [
            StoredMessage(row.position, row.role, row.content, tuple(row.tool_calls), row.name)
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
            connection.execute(_once(records, row))

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

    # the ledger

    def add_entry(self, entry: LedgerEntry) -> None:
        with self._database.write() as connection:
            connection.execute(_once(ledger, asdict(entry) | {"at": entry.at.timestamp()}))

    def entries(self, *, run: str | None = None) -> list[LedgerEntry]:
        """The ledger, oldest first."""
        statement = select(ledger).order_by(ledger.c.at, ledger.c.key)
        if run is not None:
            statement = statement.where(ledger.c.run == run)
        return [_entry(dict(row._mapping)) for row in self._all(statement)]

    def _all(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        with self._database.read() as connection:
            return connection.execute(statement).all()


def _once(table: Any, row: Mapping[str, Any]) -> Any:
    return insert(table).values(**row).on_conflict_do_nothing()


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _run(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        agent=row.agent,
        trigger=row.trigger,
        input=row.input,
        state=cast(RunState, row.state),
        model=row.model,
        queued=time_of(row.queued),
        started=None if row.started is None else time_of(row.started),
        ended=None if row.ended is None else time_of(row.ended),
        reason=row.reason,
    )


def _entry(row: dict[str, Any]) -> LedgerEntry:
    row["at"] = time_of(row["at"])
    return LedgerEntry(**row)
