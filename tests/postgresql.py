"""A PostgreSQL server of the tests' own, on loopback, that forgets everything when they end."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from gesso.memory import Store

ON_POSTGRESQL = os.environ.get("GESSO_TEST_DATABASE") == "postgresql"
"""Whether the suites of the store and of the runtime run on PostgreSQL, in place of SQLite."""

Address = Callable[[str], str]
"""From a name of a test's own to the address of its store of that name."""

PASSWORD = "swordfish-4711"
NEW = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300")


def _make_store(url: str) -> None:
    Store(url).close()


class Server:
    """A server that is up. `url(database)` is an address in it."""

    def __init__(self, port: int, data: Path) -> None:
        self.port = port
        self.data = data
        self._numbers = itertools.count()
        self._templates: dict[Callable[[str], None], str] = {}

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql+psycopg://gesso:{password}@127.0.0.1:{self.port}/{database}"

    def new(self, template: str | None = None) -> str:
        """The address of a new database, which is empty, or a copy."""
        name = f"t{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
        return self.url(name)

    def fresh(self, make: Callable[[str], None] = _make_store) -> str:
        """The address of a new store without rows; or of what `make` makes of an empty database,
        which it does once."""
        if make not in self._templates:
            url = self.new()
            make(url)
            self._templates[make] = url.rsplit("/", 1)[1]
        return self.new(self._templates[make])

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        plain = self.url(database).replace("+psycopg", "")
        with psycopg.connect(plain, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []


@contextmanager
def running() -> Iterator[Server]:
    """A server. Raises `FileNotFoundError` where there is none to start."""
    found = programs()
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    with tempfile.TemporaryDirectory(
        prefix="gesso-postgresql-", ignore_cleanup_errors=True
    ) as home:
        if user:
            shutil.chown(home, "postgres", "postgres")
        data, password = Path(home) / "data", Path(home) / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        subprocess.run(
            [found / "initdb", "-D", data, "-U", "gesso", f"--pwfile={password}", *NEW],
            check=True,
            capture_output=True,
            cwd=home,
            timeout=60,
            **user,
        )
        port = _free_port()
        settings = [*FAST, "listen_addresses=127.0.0.1", f"unix_socket_directories={home}"]
        process = subprocess.Popen(
            [found / "postgres", "-D", data, "-p", str(port), *(f"--{s}" for s in settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=home,
            **user,
        )
        try:
            server = Server(port, data)
            _wait(server)
            yield server
        finally:
            process.kill()  # what it holds is thrown away
            process.wait()


def programs() -> Path:
    """The folder of the newest server on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    if on_path is None:
        raise FileNotFoundError("no PostgreSQL server on this machine")
    return Path(on_path).parent


def _version(program: Path) -> int:
    return int(program.parent.parent.name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(server: Server) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(psycopg.OperationalError):
            server.execute("SELECT 1")
            return
        time.sleep(0.05)
    raise TimeoutError("PostgreSQL did not start in 30 seconds")
