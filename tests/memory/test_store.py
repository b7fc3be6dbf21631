"""The store: what is written once stays, what is locked says so, and its schema over time."""

import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import gesso.memory
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from gesso.memory import (
    LedgerEntry,
    Run,
    Store,
    StoredMessage,
    StoreError,
    StoreLockedError,
    StoreOpenError,
    StoreVersionError,
)
from gesso.memory.tables import metadata
from sqlalchemy import create_engine

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
RUN = Run("r1", "clerk", "manual", "hello", "queued", "sketch", NOW)
ENTRY = LedgerEntry("r1/0", "r1", "clerk", "sketch", "cpu", NOW, 100, 40, 20, 1, 9, 0.25, 0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_a_run_from_queue_to_end(path: Path) -> None:
    with Store(path) as store:
        assert store.add_run(RUN)
        assert not store.add_run(RUN)
        assert store.run("r1") == RUN
        assert store.run("r2") is None
        store.start_run("r1", at=NOW)
        store.start_run("r1", at=LATER)
        store.end_run("r1", "failed", reason="broken", at=LATER)
        store.end_run("r1", "done", reason=None, at=LATER)
        run = store.run("r1")
    assert run is not None
    assert (run.state, run.reason, run.started, run.ended) == ("failed", "broken", NOW, LATER)


def test_runs_are_counted_by_state_and_the_last_one_of_an_agent_is_found(path: Path) -> None:
    with Store(path) as store:
        assert (store.run_counts(), store.last_run("clerk")) == ({}, None)
        store.add_run(replace(RUN, id="r2", queued=LATER))
        store.add_run(RUN)
        store.add_run(replace(RUN, id="r3", agent="cook", queued=LATER))
        store.end_run("r1", "done", reason=None, at=LATER)
        assert store.run_counts() == {"queued": 2, "done": 1}
        last = store.last_run("clerk")
    assert last is not None
    assert last.id == "r2"


def test_the_ledger_is_read_from_a_time_on(path: Path) -> None:
    with Store(path) as store:
        store.add_run(RUN)
        store.ledger.add(ENTRY)
        store.ledger.add(replace(ENTRY, key="r1/1", at=LATER))
        assert [entry.key for entry in store.ledger.entries(since=LATER)] == ["r1/1"]
        assert len(list(store.ledger.entries(since=NOW))) == 2


def test_what_a_step_writes_twice_is_there_once(path: Path) -> None:
    message = StoredMessage(0, "assistant", "é", ({"name": "t", "arguments": {"a": [1]}},), None)
    with Store(f"sqlite:///{path}") as store:
        store.add_run(RUN)
        for _ in range(2):
            store.add_messages("r1", [message])
            store.ledger.add(ENTRY)
            store.add_record(
                {"total": 3.5}, key="r1/0/0", run="r1", agent="clerk", source="a.txt", at=NOW
            )
        assert store.messages("r1") == [message]
        assert list(store.ledger.entries()) == list(store.ledger.entries(run="r1")) == [ENTRY]
        (record,) = store.records(agent="clerk")
        assert (record.data, record.source, record.at) == ({"total": 3.5}, "a.txt", NOW)
        assert store.records(agent="other") == []


def test_rows_belong_to_a_run(path: Path) -> None:
    with Store(path) as store, pytest.raises(StoreError, match="FOREIGN KEY"):
        store.ledger.add(ENTRY)


def test_a_locked_store_says_so(path: Path) -> None:
    with Store(path, busy_timeout=0.05) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError, match=r"store\.db: the store is locked by another"):
            store.add_run(RUN)
        assert store.runs() == [], "readers are not kept out"
        other.execute("COMMIT")
        other.close()
        assert store.add_run(RUN)


def test_a_new_store_that_is_locked_says_so(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreLockedError):
        Store(path, busy_timeout=0.05)
    other.close()


def test_a_writer_waits_for_a_short_lock(path: Path) -> None:
    with Store(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, lambda: other.execute("COMMIT"))
        timer.start()
        assert store.add_run(RUN)
        timer.join()
        other.close()


def test_what_is_no_store_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is no database at all. " * 9)
    with pytest.raises(StoreOpenError, match=r"text\.db: cannot be opened as a store"):
        Store(tmp_path / "text.db")
    with pytest.raises(StoreOpenError, match="cannot be opened"):
        Store(tmp_path / "no" / "such" / "folder.db")
    with pytest.raises(StoreOpenError, match="only SQLite"):
        Store("postgresql://localhost/gesso")


def test_the_migrations_make_the_tables(path: Path) -> None:
    Store(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: "facts_index" not in (name or "")},
        )
        assert compare_metadata(context, metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


def test_a_store_keeps_its_rows_when_it_is_opened_again(path: Path) -> None:
    with Store(path) as store:
        store.add_run(RUN)
    with Store(path) as store:
        assert store.runs() == [RUN]


def test_a_store_of_a_newer_gesso_is_refused(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreVersionError, match="newer gesso"):
        Store(path)


def test_many_open_a_new_store_at_once(path: Path) -> None:
    problems: list[BaseException] = []

    def open_and_write(number: int) -> None:
        try:
            with Store(path) as store:
                store.add_run(Run(f"r{number}", "clerk", "manual", "", "queued", "m", NOW))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_and_write, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Store(path) as store:
        assert len(store.runs()) == 12


def test_the_room_exports_these_names() -> None:
    assert set(gesso.memory.__all__) == {
        "BM25",
        "PROMPT_EDGES",
        "QUARTER",
        "Block",
        "BlockError",
        "Blocks",
        "Correction",
        "DocumentState",
        "Embedding",
        "EmbeddingError",
        "Entry",
        "EntryKind",
        "Event",
        "EventKind",
        "Extraction",
        "Fact",
        "FactError",
        "Grant",
        "Grants",
        "InboxError",
        "Job",
        "JobCounts",
        "JobDocument",
        "JobError",
        "JobPlan",
        "Jobs",
        "Ledger",
        "LedgerEntry",
        "Letter",
        "Memory",
        "Ranking",
        "Reading",
        "Record",
        "Run",
        "RunState",
        "Schedules",
        "Spend",
        "Store",
        "StoreError",
        "StoreLockedError",
        "StoreOpenError",
        "StoreVersionError",
        "StoredMessage",
        "TransferError",
        "Verdict",
        "Wanted",
        "Work",
        "quarter_of",
        "served_embedding",
        "spends_of",
        "use_wal",
        "value_at",
    }
