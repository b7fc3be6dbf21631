"""SQLite under the store: one file, one writer at a time.

Writers begin `IMMEDIATE`: a transaction that reads first and upgrades later would be refused at
once under WAL, however long the busy timeout is.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event

from .errors import StoreError, StoreLockedError, StoreOpenError, TransferError


class Sqlite:
    """A file that SQLite reads and writes."""

    def __init__(self, url: URL, busy_timeout: float) -> None:
        self.name = url.database or str(url)
        self.engine = create_engine(url)
        self._busy_timeout = busy_timeout
        milliseconds = int(busy_timeout * 1000)

        @event.listens_for(self.engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # the transactions are begun by us, below
            connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten

        @event.listens_for(self.engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")

    def prepare(self) -> None:
        """Before anything is read."""
        use_wal(self.name, self._busy_timeout)

    def begin_schema(self, connection: Connection) -> str | None:
        """The revision that a new store begins with: none, it takes every step."""

    def wait_alone(self, connection: Connection) -> None:
        """A writer is alone anyway."""

    def purge(self) -> None:
        """Move the write-ahead log into the file and cut it to nothing, so that no older page is
        left in it. Raises `StoreLockedError` while someone still reads from the log."""
        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise self._locked()

    def backup(self, path: Path) -> None:
        """Copy the store as it stands into a new file, while others read and write.

        The copy gets its name when it is whole. Raises `TransferError` where the file is there.
        """
        if path.exists():
            raise TransferError(f"{path}: is there already; name a new file for the backup")
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("VACUUM INTO ?", (str(partial),))
        partial.rename(path)

    def error(self, problem: BaseException) -> StoreError:
        """The database's error in our words."""
        what = str(problem)
        if "locked" in what or "busy" in what:
            return self._locked()
        if "not a database" in what or "unable to open" in what or "malformed" in what:
            return StoreOpenError(f"{self.name}: cannot be opened as a store ({what})")
        return StoreError(f"{self.name}: {what}")

    def _locked(self) -> StoreLockedError:
        return StoreLockedError(
            f"{self.name}: the store is locked by another process; "
            "wait until that process is done, or end it, and try again"
        )


def use_wal(path: str | Path, timeout: float) -> None:
    """Put an SQLite file under a write-ahead log, for good. SQLite does not wait for a lock here,
    whatever the busy timeout is (two that open a new file at once), so we do."""
    end = time.monotonic() + timeout
    while True:
        try:
            with closing(sqlite3.connect(path, timeout=0)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
