"""The inbox: what waits for the person, and what they said.

An entry is made by a run that cannot go on without the person (or that tells them something). It
is made once for a call of a part of a run, and is decided once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, select, update

from .database import Database
from .errors import InboxError
from .rows import Entry, EntryKind, Verdict, time_of
from .tables import inbox, runs
from .upsert import add_once

_cancelled = select(runs.c.id).where(runs.c.state == "cancelled")
_alive = (inbox.c.kind == "message") | inbox.c.run.not_in(_cancelled)


class Inbox:
    """The entries of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        call: str,
        part: int,
        kind: EntryKind,
        text: str,
        *,
        run: str,
        agent: str,
        reason: str,
        arguments: Mapping[str, Any],
        at: datetime,
    ) -> Entry:
        """Ask the person, once for a call of a part of the run."""
        row = {"call": call, "part": part, "kind": kind, "text": text, "run": run, "agent": agent}
        row |= {"reason": reason, "arguments": dict(arguments), "asked": at.timestamp()}
        with self._database.write() as connection:
            add_once(connection, inbox, row)
        entry = self.of_call(call)
        assert entry is not None
        return entry

    def of_call(self, call: str) -> Entry | None:
        """The last entry about a call."""
        statement = select(inbox).where(inbox.c.call == call).order_by(inbox.c.part.desc())
        with self._database.read() as connection:
            row = connection.execute(statement.limit(1)).first()
        return None if row is None else _entry(row)

    def entries(self, *, open_only: bool = True, run: str | None = None) -> list[Entry]:
        """What waits, or all there ever was; oldest first. What a cancelled run asked waits no
        more; what it told does."""
        statement = select(inbox).order_by(inbox.c.id)
        if open_only:
            statement = statement.where(inbox.c.verdict.is_(None), _alive)
        if run is not None:
            statement = statement.where(inbox.c.run == run)
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(statement)]

    def entry(self, number: int) -> Entry:
        """Raises `InboxError` where there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(inbox).where(inbox.c.id == number)).first()
        if row is None:
            raise InboxError(f"there is no entry {number} in the inbox; see gesso inbox")
        return _entry(row)

    def decide(
        self,
        number: int,
        verdict: Verdict,
        *,
        note: str,
        at: datetime,
        edited: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Write down what the person said; `edited` are the arguments that they put in the place
        of the call's. Raises `InboxError` where there is no such entry, where
        it was decided before, or where its run was cancelled."""
        values: dict[str, Any] = {"verdict": verdict, "note": note, "decided": at.timestamp()}
        values |= {"edited": None if edited is None else dict(edited)}
        with self._database.write() as connection:
            changed = connection.execute(
                update(inbox)
                .where(inbox.c.id == number, inbox.c.verdict.is_(None), _alive)
                .values(values)
            ).rowcount
        entry = self.entry(number)
        if not changed and entry.verdict is None:
            raise InboxError(f"entry {number}: its run was cancelled")
        if not changed:
            raise InboxError(f"entry {number} was {entry.verdict} already")
        return entry


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        id=row.id,
        call=row.call,
        part=row.part,
        run=row.run,
        agent=row.agent,
        kind=cast(EntryKind, row.kind),
        text=row.text,
        arguments=row.arguments,
        reason=row.reason,
        asked=time_of(row.asked),
        verdict=cast(Verdict | None, row.verdict),
        note=row.note,
        decided=None if row.decided is None else time_of(row.decided),
        edited=row.edited,
    )
