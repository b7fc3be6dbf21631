"""Mail: messages to agents, from the person, from other agents, or from an agent to itself later.

A message is delivered once, when it is due: whoever delivers it starts a run named by its key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from .database import Database
from .rows import Letter, time_of
from .tables import mail
from .upsert import add_once


class Mail:
    """The messages of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def post(self, letter: Letter) -> bool:
        """Put a message in; False where one of the same key was there."""
        row = {"key": letter.key, "agent": letter.agent, "sender": letter.sender}
        row |= {"text": letter.text, "due": letter.due.timestamp()}
        with self._database.write() as connection:
            return add_once(connection, mail, row)

    def due(self, now: datetime) -> list[Letter]:
        """What should be delivered by now and was not, oldest first."""
        statement = select(mail).where(mail.c.run.is_(None), mail.c.due <= now.timestamp())
        with self._database.read() as connection:
            rows = connection.execute(statement.order_by(mail.c.due, mail.c.key))
            return [_letter(row) for row in rows]

    def waiting(self) -> list[Letter]:
        """What was not delivered yet, the first one due first."""
        statement = select(mail).where(mail.c.run.is_(None)).order_by(mail.c.due, mail.c.key)
        with self._database.read() as connection:
            return [_letter(row) for row in connection.execute(statement)]

    def delivered(self, key: str, run: str) -> None:
        """Note which run a message started."""
        with self._database.write() as connection:
            connection.execute(update(mail).where(mail.c.key == key).values(run=run))


def _letter(row: Row[Any]) -> Letter:
    return Letter(row.key, row.agent, row.sender, row.text, time_of(row.due), row.run)
