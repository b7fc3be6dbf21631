"""Questions to SQLite files, and everything that is more than a question."""

import hashlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from gesso.tools import Context, QueryError, Registry, WorkspaceError


@pytest.fixture
def base(context: Context) -> Path:
    path = context.workspace.root / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, picture BLOB)")
        rows = [(f"Zoë {n}", bytes(n)) for n in range(1000)]
        connection.executemany("INSERT INTO orders (name, picture) VALUES (?, ?)", rows)
    connection.close()
    return path


def ask(context: Context, sql: str, path: str = "shop.db") -> dict[str, Any]:
    (query,) = Registry().select(["query"])
    return query.call({"path": path, "sql": sql}, context)


def test_a_question_is_answered(context: Context, base: Path) -> None:
    answer = ask(context, "SELECT id, name, picture, 1.5 AS x FROM orders WHERE id BETWEEN 2 AND 3")
    assert answer == {
        "columns": ["id", "name", "picture", "x"],
        "rows": [[2, "Zoë 1", "[1 bytes]", 1.5], [3, "Zoë 2", "[2 bytes]", 1.5]],
    }
    with_clause = (
        "WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n"
    )
    assert ask(context, with_clause)["rows"] == [[1], [2], [3]]
    assert ask(context, "PRAGMA table_info(orders)")["rows"][1][:3] == [1, "name", "TEXT"]
    assert ask(context, "SELECT count(*) FROM sqlite_master")["rows"] == [[1]]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders (name) VALUES ('x')",
        "UPDATE orders SET name = 'x'",
        "DELETE FROM orders",
        "DROP TABLE orders",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "ATTACH 'other.db' AS other",
        "ATTACH '/etc/passwd' AS other",
        "ATTACH ':memory:' AS other",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "ANALYZE",
        "BEGIN",
        "SAVEPOINT a",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = WAL",
        "PRAGMA user_version = 3",
        "PRAGMA database_list",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT 1; DELETE FROM orders",
        "WITH t AS (SELECT 1) DELETE FROM orders",
        "INSERT INTO orders (name) VALUES ('x') RETURNING id",
        "SELEC 1",
        "",
    ],
)
def test_what_is_no_question_is_refused(context: Context, base: Path, sql: str) -> None:
    before = hashlib.sha256(base.read_bytes()).digest()
    if sql == "":
        assert ask(context, sql) == {"columns": [], "rows": []}
    else:
        with pytest.raises(QueryError, match=r"shop\.db: "):
            ask(context, sql)
    assert hashlib.sha256(base.read_bytes()).digest() == before
    assert [p.name for p in context.workspace.root.iterdir()] == ["shop.db"]


def test_a_long_answer_is_cut_and_says_so(context: Context, base: Path) -> None:
    answer = ask(context, "SELECT id FROM orders")
    assert (len(answer["rows"]), answer["cut"]) == (
        200,
        "the first 200 rows are shown; ask for less",
    )
    (row,) = ask(context, "SELECT hex(zeroblob(5000))")["rows"]
    assert row[0].endswith("[cut: 2,000 of 10,000 characters are shown]")
    answer = ask(context, "SELECT hex(zeroblob(900)) FROM orders")
    assert len(answer["rows"]) == 16


@pytest.mark.parametrize(
    "sql",
    [
        "WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "SELECT count(*) FROM orders a, orders b, orders c, orders d",
        "SELECT a.name FROM orders a, orders b, orders c ORDER BY a.name || b.name || c.name",
    ],
)
def test_an_endless_question_is_stopped(
    context: Context, base: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gesso.tools.sql.SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(QueryError, match=r"shop\.db: not answered within 0\.3 seconds"):
        ask(context, sql)
    assert time.monotonic() - begun < 5


def test_a_huge_value_is_refused(context: Context, base: Path) -> None:
    assert ask(context, "SELECT printf('%999999999d', 1)")["rows"] == [[None]]
    for value in ("randomblob(1000000000)", "zeroblob(2000000000)", "hex(zeroblob(900000))"):
        with pytest.raises(QueryError, match="too big"):
            ask(context, f"SELECT length({value})")


def test_only_databases_of_the_workspace_are_opened(context: Context, base: Path) -> None:
    root = context.workspace.root
    (root / "text.db").write_text("no database" * 100)
    (root / "out.db").symlink_to(root.parent / "store.db")
    (root / "odd?mode=rwc#%41.db").write_bytes(base.read_bytes())
    assert ask(context, "SELECT 1", "odd?mode=rwc#%41.db")["rows"] == [[1]]
    with pytest.raises(QueryError, match=r"text\.db: file is not a database"):
        ask(context, "SELECT * FROM sqlite_master", "text.db")
    for path in ("out.db", "../store.db", str(base), "none.db", ".", ".gesso/store.db"):
        with pytest.raises(WorkspaceError):
            ask(context, "SELECT 1", path)
    assert not (root / "none.db").exists()
