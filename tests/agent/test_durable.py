"""The journal: works once, steps once, JSON on disk."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gesso.agent.durable import Journal
from gesso.agent.errors import RunError
from gesso.memory import StoreLockedError


def test_a_work_and_its_steps_happen_once(tmp_path: Path) -> None:
    happened: list[str] = []

    def body(journal: Journal, payload: dict[str, Any]) -> Any:
        return journal.step("note", lambda: happened.append(payload["note"]))

    for _ in range(2):
        journal = Journal(tmp_path, body, listen=True)
        journal.enqueue("queued", {"note": "queued"})
        journal.start("started", {"note": "started"})
        journal.wait("queued")
        journal.wait("started")
        journal.close()
    assert sorted(happened) == ["queued", "started"]
    with sqlite3.connect(tmp_path / "durable.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        rows = connection.execute(
            "SELECT DISTINCT serialization, application_version FROM workflow_status"
        ).fetchall()
    connection.close()
    assert rows == [("portable_json", "3")]


def test_only_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    tried: list[str] = []

    def fail_once(problem: Exception) -> str:
        tried.append(str(problem))
        if len(tried) == 1:
            raise problem
        return "done"

    def body(journal: Journal, payload: dict[str, Any]) -> Any:
        problem = StoreLockedError("locked") if "locked" in payload else ValueError("broken")
        return journal.step("try", fail_once, problem, retry=StoreLockedError)

    journal = Journal(tmp_path, body, listen=False)
    journal.start("locked", {"locked": True})
    journal.wait("locked")
    assert tried == ["locked", "locked"]
    tried.clear()
    journal.start("broken", {})
    with pytest.raises(RunError, match="run broken: broken"):
        journal.wait("broken")
    assert tried == ["broken"]
    journal.close()


def test_a_journal_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "durable.db").write_text("This is no database at all. " * 40)
    with pytest.raises(RunError, match=r"durable\.db: cannot be opened"):
        Journal(tmp_path, lambda *_: None, listen=False)
    (tmp_path / "durable.db").unlink()
    Journal(tmp_path, lambda *_: None, listen=False).close()


def test_what_is_done_is_forgotten_and_what_is_not_is_kept(tmp_path: Path) -> None:
    go = threading.Event()

    def body(journal: Journal, payload: dict[str, Any]) -> Any:
        return journal.step("wait", lambda: go.wait(20) if payload["wait"] else True)

    journal = Journal(tmp_path, body, listen=False)
    journal.start("done", {"wait": False})
    journal.start("open", {"wait": True})
    journal.wait("done")
    assert journal.tidy(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert journal.tidy(datetime.now(UTC) + timedelta(seconds=1)) == 1
    go.set()
    journal.wait("open")
    with sqlite3.connect(tmp_path / "durable.db") as connection:
        rows = connection.execute("SELECT workflow_uuid FROM workflow_status").fetchall()
        steps = connection.execute("SELECT DISTINCT workflow_uuid FROM operation_outputs")
        assert (rows, steps.fetchall()) == ([("open",)], [("open",)])
    connection.close()
    journal.close()
