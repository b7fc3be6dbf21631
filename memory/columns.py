"""The types of the store's columns, alike on both databases.

On PostgreSQL every whole number has the 64 bits that SQLite gives it, and texts compare by their
code points, as in SQLite. PostgreSQL keeps no NUL character in a text: there it becomes the picture
of one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, String, Text, TypeDecorator
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

NUL_PICTURE = "\N{SYMBOL FOR NULL}"

Whole = Integer().with_variant(BigInteger(), "postgresql")


class Words(TypeDecorator[str]):
    """A text of any length."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return postgresql.TEXT(collation="C")
        return super().load_dialect_impl(dialect)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\0", NUL_PICTURE)


class Name(Words):
    """A text of a line at most. Of any length too, but declared as it always was on SQLite."""

    impl = String
    cache_ok = True
