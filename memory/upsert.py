"""Rows that may be there already: both databases know them, each by a statement of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite


def add_once(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Add a row; False where one of its key is there, which stays as it is."""
    statement = _insert(connection, table).values(**row).on_conflict_do_nothing()
    counted = {"preserve_rowcount": True}  # which an INSERT's is not, else
    return connection.execute(statement, execution_options=counted).rowcount == 1


def add_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add those of many rows whose keys are not there."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def put(
    connection: Connection, table: Table, row: Mapping[str, Any], *, rising: str | None = None
) -> None:
    """Add a row, or let it take the place of the one of its primary key; only where it is higher
    in the column `rising`."""
    statement = _insert(connection, table).values(**row)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in row if name not in keys}
    where = None if rising is None else table.c[rising] < statement.excluded[rising]
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=changed, where=where)
    )


def number_on(connection: Connection, table: Table) -> None:
    """Let the numbers that the database gives to a table's rows follow those that were given to
    it. SQLite looks for the highest one anyway."""
    if connection.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table.name, "id")
        highest = func.coalesce(select(func.max(table.c.id)).scalar_subquery(), 1)
        connection.execute(select(func.setval(sequence, highest)))


def _insert(connection: Connection, table: Table) -> sqlite.Insert:
    kind: Any = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    return kind.insert(table)
