"""How far the agents' schedules have come, over restarts. Knows nothing of when they fire."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from .database import Database
from .rows import time_of
from .tables import schedules
from .upsert import add_once, put


class Schedules:
    """The schedules of a store, each by its agent and what it says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def first_seen(self, agent: str, trigger: str, *, at: datetime) -> datetime:
        """The last firing of a schedule; of one that was never seen before, `at`, from now on."""
        row = {"agent": agent, "trigger": trigger, "last": at.timestamp()}
        found = select(schedules.c.last).where(
            schedules.c.agent == agent, schedules.c.trigger == trigger
        )
        with self._database.write() as connection:
            add_once(connection, schedules, row)
            return time_of(connection.execute(found).scalar_one())

    def last(self) -> dict[tuple[str, str], datetime]:
        """The last firing, or the first sight, of every schedule by its agent and what it says."""
        with self._database.read() as connection:
            rows = connection.execute(select(schedules)).all()
        return {(row.agent, row.trigger): time_of(row.last) for row in rows}

    def fired(self, agent: str, trigger: str, *, last: datetime) -> None:
        """A schedule has come as far as `last`; it never goes back."""
        row = {"agent": agent, "trigger": trigger, "last": last.timestamp()}
        with self._database.write() as connection:
            put(connection, schedules, row, rising="last")
