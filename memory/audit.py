"""The audit log: every call of a tool, what was decided about it, and how it ended.

It is only ever added to; the database itself refuses a change or a removal. It is also how a call
that was cut short is known: it has begun and has not finished.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, select

from .database import Database
from .rows import Event, EventKind, time_of
from .tables import audit
from .upsert import add_once


class Audit:
    """The events of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        call: str,
        part: int,
        kind: EventKind,
        *,
        run: str,
        agent: str,
        text: str,
        detail: str = "",
        seconds: float | None = None,
        at: datetime,
    ) -> bool:
        """Add an event; False where this part of the run has this one of this call already."""
        row = {"call": call, "part": part, "kind": kind, "run": run, "agent": agent, "text": text}
        row |= {"detail": detail, "seconds": seconds, "at": at.timestamp()}
        with self._database.write() as connection:
            return add_once(connection, audit, row)

    def find(self, call: str, kind: EventKind) -> Event | None:
        """The last such event of a call."""
        statement = select(audit).where(audit.c.call == call, audit.c.kind == kind)
        with self._database.read() as connection:
            row = connection.execute(statement.order_by(audit.c.id.desc()).limit(1)).first()
        return None if row is None else _event(row)

    def events(self, *, run: str | None = None, agent: str | None = None) -> list[Event]:
        """Everything, oldest first."""
        statement = select(audit).order_by(audit.c.id)
        if run is not None:
            statement = statement.where(audit.c.run == run)
        if agent is not None:
            statement = statement.where(audit.c.agent == agent)
        with self._database.read() as connection:
            return [_event(row) for row in connection.execute(statement)]


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        call=row.call,
        part=row.part,
        kind=cast(EventKind, row.kind),
        run=row.run,
        agent=row.agent,
        text=row.text,
        detail=row.detail,
        seconds=row.seconds,
        at=time_of(row.at),
    )
