"""Stores of earlier versions are opened, with all that is in them."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from gesso.memory import Memory, Store
from gesso.memory.database import MIGRATIONS
from sqlalchemy import create_engine

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """A store as the first version left it, with a run and three facts."""
    path = tmp_path / "store.db"
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with sqlite3.connect(path) as raw:
        raw.execute(
            "INSERT INTO runs(id, agent, trigger, input, state, model, queued) "
            "VALUES ('r1', 'clerk', 'manual', 'hello', 'queued', 'sketch', 1.5)"
        )
        raw.executemany(
            "INSERT INTO facts(id, text, source, at) VALUES (?, ?, ?, ?)",
            [
                (1, "Anna is allergic to walnuts", "chat", NOW.timestamp()),
                (4, "Invoices are paid on Fridays", "mail", NOW.timestamp()),
                (7, "Anna lives in Porto", "chat", NOW.timestamp()),
            ],
        )
    raw.close()
    return path


def test_a_store_of_the_first_version_keeps_its_rows(first_version: Path) -> None:
    with Store(first_version) as store, Memory(first_version) as memory:
        assert [run.id for run in store.runs()] == ["r1"]
        facts = memory.facts()
        assert [(fact.id, fact.source, fact.at) for fact in facts] == [
            (1, "chat", NOW),
            (4, "mail", NOW),
            (7, "chat", NOW),
        ]
        assert all(fact.agent is None and fact.current and not fact.uses for fact in facts)
        assert memory.recall("When do we pay an invoice?", 3) == [facts[1]]


def test_its_facts_can_be_superseded_and_forgotten(first_version: Path) -> None:
    with Memory(first_version) as memory:
        new = memory.remember("Anna lives in Lisbon", source="chat", at=NOW, supersedes=[7])
        memory.forget(1, at=NOW, erase=True)
        assert memory.recall("Anna", 9) == [new]
        assert [fact.id for fact in memory.facts(every=True)] == [1, 4, 7, new.id]
        assert b"walnuts" not in first_version.read_bytes()


def test_the_index_agrees_with_the_table_it_follows(first_version: Path) -> None:
    with Memory(first_version) as memory:
        memory.remember("Anna lives in Lisbon", source="chat", at=NOW, supersedes=[7])
        memory.forget(4, at=NOW)
    with sqlite3.connect(first_version) as raw:
        raw.execute("CREATE VIRTUAL TABLE temp.said USING fts5vocab(main, facts_index, instance)")
        indexed = {number for (number,) in raw.execute("SELECT DISTINCT doc FROM said")}
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()
    assert indexed == {1, 8}
