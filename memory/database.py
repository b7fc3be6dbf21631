"""The connection to a store: opened by its address, migrated, and its errors in our words.

Knows nothing of what the tables mean. What SQLite and PostgreSQL do each in a way of its own is in
`sqlite` and `postgresql`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from .errors import StoreOpenError, StoreVersionError
from .postgresql import Postgresql
from .sqlite import Sqlite

MIGRATIONS = Path(__file__).parent / "migrations"
KINDS = {"sqlite": Sqlite, "postgresql": Postgresql}


class Database:
    """An open, migrated store. `url` is `sqlite:///…`, the path of a file, or
    `postgresql://USER@HOST/DATABASE`."""

    def __init__(self, url: str | Path, *, busy_timeout: float = 30.0) -> None:
        address = _address(str(url))
        self._kind = KINDS[address.get_backend_name()](address, busy_timeout)
        self.name = self._kind.name
        """The store as a message should call it."""
        try:
            with self._translated():
                self._kind.prepare()
            self._migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._kind.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._translated(), self._kind.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Connection]:
        """A transaction. `alone`: what it writes hangs on what it reads in rows that others may
        change meanwhile; no two such transactions are under way at once."""
        with self._translated(), self._kind.engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                if alone:
                    self._kind.wait_alone(connection)
                yield connection

    def purge(self) -> None:
        """Leave nothing of what was erased in the store's files. Raises `StoreLockedError` while
        someone still reads it."""
        with self._translated():
            self._kind.purge()

    def backup(self, path: Path) -> None:
        """Copy the store as it stands into a new file. Raises `TransferError` where the file is
        there, or the store is not ours to copy."""
        with self._translated():
            self._kind.backup(path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._kind.error(error.orig or error) from error
        except sqlite3.Error as error:
            raise self._kind.error(error) from error

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
        with self.write(alone=True) as connection:
            config.attributes["connection"] = connection
            # Another process may have come first.
            if MigrationContext.configure(connection).get_current_revision() is None:
                first = self._kind.begin_schema(connection)
                if first is not None:
                    command.stamp(config, first)
            command.upgrade(config, "head")


def _address(text: str) -> URL:
    """Never in a message: it may hold a password."""
    try:
        address = make_url(text if "://" in text else f"sqlite:///{text}")
        address.get_backend_name()
    except (ArgumentError, ValueError):
        raise StoreOpenError("the address of the store cannot be read") from None
    if address.get_backend_name() not in KINDS:
        raise StoreOpenError(
            f"{address.render_as_string(hide_password=True)}: a store is a file of SQLite "
            "(sqlite:///FILE) or in PostgreSQL (postgresql://USER@HOST/DATABASE)"
        )
    return address
