"""The connection to a store: SQLite settings, migration on open, and SQLite's errors in our words.

Knows nothing of what the tables mean. Writers begin `IMMEDIATE`: a transaction that reads first
and upgrades later would be refused at once under WAL, however long the busy timeout is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError

from .errors import StoreError, StoreLockedError, StoreOpenError, StoreVersionError, TransferError

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """An open, migrated store. `url` is `sqlite:///…`, or the path of a file."""

    def __init__(self, url: str | Path, *, busy_timeout: float = 30.0) -> None:
        text = str(url)
        self.url = make_url(text if "://" in text else f"sqlite:///{text}")
        if self.url.get_backend_name() != "sqlite":
            raise StoreOpenError(f"{text}: only SQLite stores are supported (sqlite:///FILE)")
        self._engine = create_engine(self.url)
        milliseconds = int(busy_timeout * 1000)

        @event.listens_for(self._engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # the transactions are begun by us, below
            connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten

        @event.listens_for(self._engine, "begin")
        def begin(connection: Connection) -> None:
            mode = connection.get_execution_options().get("begin", "DEFERRED")
            connection.exec_driver_sql(f"BEGIN {mode}")

        try:
            with self._translated():
                use_wal(self.name, busy_timeout)
            self._migrate()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The store as a message should call it."""
        return self.url.database or str(self.url)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(begin="IMMEDIATE")
            with connection.begin():
                yield connection

    def empty_log(self) -> None:
        """Move the write-ahead log into the file and cut it to nothing, so that no older page is
        left in it. Raises `StoreLockedError` while someone still reads from the log."""
        with self._translated(), self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise self._error("busy")

    def backup(self, path: Path) -> None:
        """Copy the store as it stands into a new file, while others read and write.

        The copy gets its name when it is whole. Raises `TransferError` where the file is there.
        """
        if path.exists():
            raise TransferError(f"{path}: is there already; name a new file for the backup")
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        with self._translated(), self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("VACUUM INTO ?", (str(partial),))
        partial.rename(path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.Error) as error:
            what = str(error.orig if isinstance(error, DatabaseError) else error)
            raise self._error(what) from error

    def _error(self, what: str) -> StoreError:
        if "locked" in what or "busy" in what:
            return StoreLockedError(
                f"{self.name}: the store is locked by another process; "
                "wait until that process is done, or end it, and try again"
            )
        if "not a database" in what or "unable to open" in what or "malformed" in what:
            return StoreOpenError(f"{self.name}: cannot be opened as a store ({what})")
        return StoreError(f"{self.name}: {what}")

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        scripts = ScriptDirectory.from_config(config)
        with self.read() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
            raise StoreVersionError(
                f"{self.name}: the store was written by a newer gesso (revision {current}); "
                "upgrade gesso"
            )
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


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
