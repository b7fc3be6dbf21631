"""Grants: what the person allowed an agent from some answer in the inbox on, beside what its file
says. Knows nothing of what a rule means."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from .database import Database
from .errors import InboxError
from .rows import Grant, time_of
from .tables import grants
from .upsert import add_once


class Grants:
    """The grants of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, agent: str, rule: str, *, at: datetime) -> None:
        """Allow an agent what a rule names; once, however often it is said."""
        row = {"agent": agent, "rule": rule, "at": at.timestamp()}
        with self._database.write() as connection:
            add_once(connection, grants, row)

    def all(self, agent: str | None = None) -> list[Grant]:
        """Everyone's or an agent's, oldest first."""
        statement = select(grants).order_by(grants.c.id)
        if agent is not None:
            statement = statement.where(grants.c.agent == agent)
        with self._database.read() as connection:
            rows = connection.execute(statement)
            return [Grant(row.id, row.agent, row.rule, time_of(row.at)) for row in rows]

    def withdraw(self, number: int) -> Grant:
        """Take a grant back. Raises `InboxError` where there is none."""
        found = next((grant for grant in self.all() if grant.id == number), None)
        if found is None:
            raise InboxError(f"nothing was allowed as number {number}; see gesso inbox --allowed")
        with self._database.write() as connection:
            connection.execute(delete(grants).where(grants.c.id == number))
        return found
