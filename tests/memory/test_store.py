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
from postgresql import ON_POSTGRESQL
from sqlalchemy import Column, create_engine
from sqlalchemy.schema import SchemaItem

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
RUN = Run("r1", "clerk", "manual", "hello", "queued", "sketch", NOW)
ENTRY = LedgerEntry("r1/0", "r1", "clerk", "sketch", "cpu", NOW, 100, 40, 20, 1, 9, 0.25, 0.5)


def test_a_run_from_queue_to_end(url: str) -> None:
    with Store(url) as store:
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


def test_runs_are_counted_by_state_and_the_last_one_of_an_agent_is_found(url: str) -> None:
    with Store(url) as store:
        assert (store.run_counts(), store.last_run("clerk")) == ({}, None)
        store.add_run(replace(RUN, id="r2", queued=LATER))
        store.add_run(RUN)
        store.add_run(replace(RUN, id="r3", agent="cook", queued=LATER))
        store.end_run("r1", "done", reason=None, at=LATER)
        assert store.run_counts() == {"queued": 2, "done": 1}
        last = store.last_run("clerk")
    assert last is not None
    assert last.id == "r2"


def test_the_ledger_is_read_from_a_time_on(url: str) -> None:
    with Store(url) as store:
        store.add_run(RUN)
        store.ledger.add(ENTRY)
        store.ledger.add(replace(ENTRY, key="r1/1", at=LATER))
        assert [entry.key for entry in store.ledger.entries(since=LATER)] == ["r1/1"]
        assert len(list(store.ledger.entries(since=NOW))) == 2


def test_what_a_step_writes_twice_is_there_once(url: str) -> None:
    message = StoredMessage(0, "assistant", "é", ({"name": "t", "arguments": {"a": [1]}},), None)
    with Store(url) as store:
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


def test_rows_belong_to_a_run(url: str) -> None:
    with Store(url) as store, pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.ledger.add(ENTRY)


@pytest.mark.sqlite
def test_a_locked_store_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path, busy_timeout=0.05) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError, match=r"store\.db: the store is locked by another"):
            store.add_run(RUN)
        assert store.runs() == [], "readers are not kept out"
        other.execute("COMMIT")
        other.close()
        assert store.add_run(RUN)


@pytest.mark.sqlite
def test_a_new_store_that_is_locked_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreLockedError):
        Store(path, busy_timeout=0.05)
    other.close()


@pytest.mark.sqlite
def test_a_writer_waits_for_a_short_lock(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, lambda: other.execute("COMMIT"))
        timer.start()
        assert store.add_run(RUN)
        timer.join()
        other.close()


@pytest.mark.sqlite
def test_what_is_no_store_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is no database at all. " * 9)
    with pytest.raises(StoreOpenError, match=r"text\.db: cannot be opened as a store"):
        Store(tmp_path / "text.db")
    with pytest.raises(StoreOpenError, match="cannot be opened"):
        Store(tmp_path / "no" / "such" / "folder.db")
    with pytest.raises(
        StoreOpenError, match=r"mysql://me:\*\*\*@localhost/gesso: a store is a file of"
    ):
        Store("mysql://me:secret@localhost/gesso")
    with pytest.raises(StoreOpenError, match=r"the address of the store cannot be read$"):
        Store("postgresql://me:secret@localhost:port/gesso")


def test_the_migrations_make_the_tables(url: str) -> None:
    Store(url).close()
    engine = create_engine(url if ON_POSTGRESQL else f"sqlite:///{url}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, metadata) == []
        if not ON_POSTGRESQL:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


def ours(thing: SchemaItem, name: str | None, kind: str, *_: object) -> bool:
    """Not the words of the facts and their index, which each database keeps in its own way; nor, on
    PostgreSQL, the index that keeps a fact once, by a digest of its text there."""
    its_own = {"facts_once"} if ON_POSTGRESQL else set[str]()
    if kind == "column" and isinstance(thing, Column) and thing.table.name == "facts":
        return name not in ("words", "length")
    return not (name or "").startswith("facts_index") and name not in its_own


def test_a_store_keeps_its_rows_when_it_is_opened_again(url: str) -> None:
    with Store(url) as store:
        store.add_run(RUN)
    with Store(url) as store:
        assert store.runs() == [RUN]


def test_a_store_of_a_newer_gesso_is_refused(url: str) -> None:
    with Store(url) as store, store._database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match="newer gesso"):
        Store(url)


def test_many_open_a_new_store_at_once(url: str) -> None:
    problems: list[BaseException] = []

    def open_and_write(number: int) -> None:
        try:
            with Store(url) as store:
                store.add_run(Run(f"r{number}", "clerk", "manual", "", "queued", "m", NOW))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_and_write, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Store(url) as store:
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
        "Presence",
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
        "StoreUnreachableError",
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
