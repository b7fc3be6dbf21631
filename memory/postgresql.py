"""PostgreSQL under the store: many processes on many machines, each writer in its own rows.

Whoever reads and then writes by what it read asks to be alone (`Database.write(alone=True)`) or
locks the rows; SQLite's one writer needs neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, text

from .errors import (
    StoreError,
    StoreLockedError,
    StoreOpenError,
    StoreUnreachableError,
    TransferError,
)
from .migrations import postgresql as schema

CONNECT_SECONDS = 10
ALONE = 7_205_759_001
"""The advisory lock of who wants to write alone; any number that nobody else takes."""

LOCKED = ("55P03", "40P01", "40001")
"""A lock that did not come in time, a deadlock, a transaction that must be tried again."""
UNREACHABLE = ("08", "57P01", "57P02", "57P03", "53300")
"""A connection that broke, a server that stops or starts, too many clients."""
REFUSED = ("42501",)
"""No right to make or to use the tables."""


class Postgresql:
    """A database of a PostgreSQL server."""

    def __init__(self, url: URL, busy_timeout: float) -> None:
        self.name = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"
        self.engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={"connect_timeout": CONNECT_SECONDS},
            pool_pre_ping=True,  # a server that was started again is no reason to fail
        )
        milliseconds = max(1, int(busy_timeout * 1000))

        @event.listens_for(self.engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            connection.execute(f"SET lock_timeout = {milliseconds}")
            connection.commit()

    def prepare(self) -> None:
        """Before anything is read."""

    def begin_schema(self, connection: Connection) -> str | None:
        """Make the tables of a new store; the revision that it begins with."""
        return schema.begin(connection)

    def wait_alone(self, connection: Connection) -> None:
        """Wait until nobody else writes who wants to be alone, and be the one until the end of the
        transaction."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ALONE})

    def purge(self) -> None:
        """Write the tables of facts anew, so that no older row is left in their files. What the
        server's own log and backups hold goes when they do. Raises `StoreLockedError` while someone
        still reads them."""
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with connection:
            connection.exec_driver_sql("VACUUM (FULL) facts, vectors")

    def backup(self, path: Path) -> None:
        """Refused: it is the server's to copy."""
        raise TransferError(
            f"{self.name}: a store in PostgreSQL is copied with its own tools: "
            f"pg_dump --format=custom --file={path} DATABASE"
        )

    def error(self, problem: BaseException) -> StoreError:
        """The database's error in our words."""
        state = str(getattr(problem, "sqlstate", None) or "")
        what = " ".join(str(problem).split())
        if state in LOCKED:
            return StoreLockedError(
                f"{self.name}: another process holds what is to be written ({what}); try again"
            )
        if state in REFUSED or (not state and "FATAL" in what and not _passes(what)):
            return StoreOpenError(
                f"{self.name}: cannot be opened as a store: {what}; mend database_url, or create "
                "the database and its user"
            )
        if state.startswith(UNREACHABLE) or (not state and _connects(what)):
            return StoreUnreachableError(
                f"{self.name}: cannot be reached: {what}; start the server, or mend database_url"
            )
        return StoreError(f"{self.name}: {what}")


def _connects(what: str) -> bool:
    """Whether an error from before there was a session, which has no state, is about reaching the
    server."""
    return any(word in what for word in ("connection", "timeout", "timed out", "resolve host"))


def _passes(what: str) -> bool:
    """Whether a server that was reached may let us in another time."""
    return any(word in what for word in ("starting up", "shutting down", "too many", "recovery"))
