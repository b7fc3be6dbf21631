"""Which process is alive, on whatever machine: each one holds a lock of the PostgreSQL server by a
session of its own.

The server drops the lock of a session that ends, however its process ends. A machine that is gone
without a word is missed by the server within `SILENCE` seconds.
"""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Iterable

from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from .postgresql import CONNECT_SECONDS

SILENCE = 20
_PROBES = 3


class Presence:
    """This process among those of a database; `name` is its own."""

    def __init__(self, url: str) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": CONNECT_SECONDS},
        )
        self._session: Connection | None = None

    def hold(self) -> bool:
        """Be known to be alive, by a new session where the last one broke; False while the server
        cannot be reached."""
        try:
            if self._session is None:
                session = self._engine.connect()
                for name, value in (
                    ("idle", SILENCE // 2),
                    ("interval", SILENCE // 2 // _PROBES),
                    ("count", _PROBES),
                ):
                    session.exec_driver_sql(f"SET tcp_keepalives_{name} = {value}")
                session.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key(self.name)})
                self._session = session
            else:
                self._session.exec_driver_sql("SELECT 1")
        except DBAPIError:
            self.release()
            return False
        return True

    def absent(self, names: Iterable[str]) -> set[str]:
        """Those of which no process is alive now. None is while we are not known ourselves."""
        found = set[str]()
        if self._session is None:
            return found
        # Shared: two that look at once do not take each other for it.
        look = text("SELECT pg_try_advisory_lock_shared(:key)")
        leave = text("SELECT pg_advisory_unlock_shared(:key)")
        try:
            for name in set(names) - {self.name}:
                if self._session.execute(look, {"key": _key(name)}).scalar():
                    self._session.execute(leave, {"key": _key(name)})
                    found.add(name)
        except DBAPIError:
            self.release()
            return set()
        return found

    def release(self) -> None:
        """Be known no more."""
        if self._session is not None:
            self._session.invalidate()  # it may be broken: nothing more is said on it
            self._session.close()
            self._session = None
        self._engine.dispose()


def _key(name: str) -> int:
    digest = hashlib.sha256(f"gesso {name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
