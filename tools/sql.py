"""The tool that reads a SQLite file of the workspace.

Three locks, each enough alone: the file is opened read-only, the connection takes queries only, and
an authorizer lets through nothing but reading (no ATTACH, no writing, few pragmas, no extension).
A query has a time, and limits of rows, of text and of the length of a value. SQLite opens files by
their paths: unlike the other file tools, this one trusts that no link is laid between the look at a
path and its opening.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Annotated, Any

from pydantic import Field

from .errors import QueryError
from .output import OUTPUT_LIMIT
from .tool import Context, Kind, tool

SECONDS = 10.0
ROWS = 200
VALUE_LIMIT = 1_000_000
"""Bytes of the longest value that a query may make."""

CELL_LIMIT = 2_000
"""Characters of a value that the model is shown."""

READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
PRAGMAS = {"table_list", "table_info", "table_xinfo", "index_list", "index_info"}
PRAGMAS |= {"foreign_key_list"}


@tool(idempotent=True)
def query(
    path: Annotated[str, Kind.PATH, Field(description="Path of the SQLite file")],
    sql: Annotated[str, Field(max_length=20_000, description="One SELECT statement")],
    context: Context,
) -> dict[str, Any]:
    """Ask a SQLite file a question; it is not changed."""
    file = context.workspace.regular(path)
    deadline = time.monotonic() + SECONDS
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=1.0)) as base:
            base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_LIMIT)
            base.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            base.execute("PRAGMA query_only = 1")
            base.set_authorizer(_authorize)
            base.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
            base.text_factory = lambda value: value.decode(errors="replace")
            return _answer(base.execute(sql), context)
    except (sqlite3.Error, sqlite3.Warning) as error:
        if time.monotonic() > deadline:
            raise QueryError(f"{path}: not answered within {SECONDS:g} seconds") from None
        raise QueryError(f"{path}: {error}") from None


def _answer(cursor: sqlite3.Cursor, context: Context) -> dict[str, Any]:
    """The columns and rows; `cut` says what was left out."""
    columns = [column[0] for column in cursor.description or ()]
    rows: list[list[Any]] = []
    size = 0
    for row in cursor:
        shown = [_cell(value, context) for value in row]
        size += sum(len(str(value)) for value in shown)
        if len(rows) == ROWS or size > OUTPUT_LIMIT:
            return {
                "columns": columns,
                "rows": rows,
                "cut": f"the first {len(rows)} rows are shown; ask for less",
            }
        rows.append(shown)
    return {"columns": columns, "rows": rows}


def _cell(value: Any, context: Context) -> Any:
    if isinstance(value, bytes):
        return f"[{len(value):,} bytes]"
    return context.cut(value, CELL_LIMIT) if isinstance(value, str) else value


def _authorize(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    allowed = (
        action in READING
        or (action == sqlite3.SQLITE_FUNCTION and second != "load_extension")
        or (action == sqlite3.SQLITE_PRAGMA and first in PRAGMAS)
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
