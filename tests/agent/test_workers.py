"""Several processes on one database in PostgreSQL: they share what is queued, and replace who dies.

Always on PostgreSQL, whatever the other tests run on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import Runtime
from gesso.agent.durable import Journal
from gesso.memory import Presence, Run
from postgresql import PASSWORD, Server
from scripted import calls, engine, says
from waiting import opened, wait_until

OTHER = """
import sys, time
from pathlib import Path
from gesso.agent.durable import Journal

def body(journal, payload):
    print(payload["name"], flush=True)
    time.sleep(60)

journal = Journal(Path(sys.argv[1]), body, listen=True, database=sys.argv[2])
print("works", flush=True)
time.sleep(60)
"""


@pytest.fixture
def url(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    url = postgresql.fresh()
    monkeypatch.setenv("GESSO_DATABASE_URL", url)
    return url


@pytest.fixture
def other(url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose works never end."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path), url],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "works\n"
    yield process
    process.kill()
    process.communicate()


def test_a_process_is_present_until_its_session_ends(url: str) -> None:
    here, there = Presence(url), Presence(url)
    assert here.absent([there.name]) == set(), "who is not known itself can tell nothing"
    assert here.hold()
    assert here.absent([there.name, here.name]) == {there.name}
    assert there.hold()
    assert here.absent([there.name, here.name]) == set()
    assert there.absent([here.name, "nobody"]) == {"nobody"}
    there.release()
    wait_until(lambda: here.absent([there.name]) == {there.name})
    here.release()


def test_a_presence_that_the_server_ends_is_held_again(url: str, postgresql: Server) -> None:
    here, there = Presence(url), Presence(url)
    assert here.hold()
    assert there.hold()
    postgresql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
        f"AND database = (SELECT oid FROM pg_database WHERE datname = '{url.rsplit('/', 1)[1]}')"
    )
    assert not here.hold()
    assert here.hold()
    assert there.hold() or there.hold()
    assert here.absent([there.name]) == set()
    here.release()
    there.release()


def test_the_works_of_a_process_that_dies_go_on_with_another(
    url: str, other: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gesso.agent.durable.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("gesso.agent.durable.GRACE_SECONDS", 0.3)
    done: list[str] = []

    def body(journal: Journal, payload: dict[str, Any]) -> Any:
        return journal.step("note", lambda: done.append(payload["name"]))

    queues = Journal(tmp_path, body, listen=False, database=url)
    queues.enqueue("first", {"name": "first"}, lane="a")
    assert other.stdout is not None
    assert other.stdout.readline() == "first\n"
    queues.enqueue("second", {"name": "second"}, lane="a")
    queues.enqueue("beside", {"name": "beside"}, lane="b")
    queues.close()
    here = Journal(tmp_path, body, listen=True, database=url)
    here.wait("beside")
    time.sleep(0.5)
    assert done == ["beside"], "of a lane one work is under way, wherever it is"
    other.send_signal(signal.SIGKILL)
    here.wait("first")
    here.wait("second")
    assert done == ["beside", "first", "second"]
    here.close()


def test_a_worker_carries_out_what_another_process_queues(
    url: str, project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [list_files]")
    turns = [calls(("list_files", {"folder": "."})), says("ok")]
    with Runtime(project, engine=engine(*turns), listen=False) as queues:
        queues.load()
        run = queues.enqueue("clerk", "hello", key="1", trigger="test")
    stop = threading.Event()
    with Runtime(project, engine=engine(*turns)) as worker:
        worker.load()
        working = threading.Thread(target=worker.work, args=(stop,))
        working.start()
        ended: Run = worker.wait(run)
        stop.set()
        working.join()
    assert (ended.state, ended.reason) == ("done", None)
    assert not (project / ".gesso" / "store.db").exists()
    assert not (project / ".gesso" / "durable.db").exists()
    with opened(project) as store:
        assert [entry.key for entry in store.ledger.entries()] == [f"{run}/0", f"{run}/1"]


def test_a_worker_without_a_database_to_share_is_refused(
    project: Path, command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GESSO_DATABASE_URL", raising=False)
    code, _, err = command("up", str(project), "--worker")
    assert code == 2
    assert "a worker takes runs from PostgreSQL: set database_url in gesso.toml" in err


@pytest.mark.parametrize(
    ("address", "code", "complaint"),
    [
        ("mysql://me:sw0rdfish@host/x", 2, "database_url: write postgresql+psycopg://USER@HOST"),
        ("postgresql://me:sw0rdfish@127.0.0.1:1/x", 1, "127.0.0.1:1/x: cannot be reached"),
        ("postgresql://me:sw0rdfish@127.0.0.1:port/x", 1, "address of the store cannot be read"),
    ],
)
def test_a_wrong_address_is_one_line_without_its_password(
    project: Path,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    code: int,
    complaint: str,
) -> None:
    monkeypatch.setenv("GESSO_DATABASE_URL", address)
    for words in (["runs", "--project", str(project)], ["up", str(project)]):
        given, out, err = command(*words)
        assert (given, out, err.count("\n")) == (code, "", 1)
        assert complaint in err
        assert "sw0rdfish" not in err


def test_no_password_is_shown_or_logged(
    url: str,
    project: Path,
    command: Callable[..., tuple[int, str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    with Runtime(project, engine=engine(says("ok"))) as runtime:
        runtime.load()
        runtime.run("clerk", "hello")
        assert PASSWORD not in repr(runtime.settings)
    code, out, err = command("config", str(project), "--json")
    assert (code, err) == (0, "")
    assert "postgresql+psycopg://gesso:***@127.0.0.1" in out
    for text in (out, caplog.text, command("doctor", str(project), "--json")[1]):
        assert PASSWORD not in text
