"""Functions of SQL that both databases have under other names, or with another outcome."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Float, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class whole(FunctionElement[int]):  # noqa: N801 - a function
    """A number without what is behind its point; PostgreSQL's cast would round it."""

    type = BigInteger()
    inherit_cache = True


class number_in(FunctionElement[float]):  # noqa: N801 - a function
    """A number in what `json_each` gives as a value: it alone, or that of a list's place."""

    type = Float()
    inherit_cache = True


class text_in(FunctionElement[str]):  # noqa: N801 - a function
    """What an object that `json_each` gives as a value has under a name, as a text; none where it
    has no such name, or null."""

    type = Text()
    inherit_cache = True


@compiles(whole, "sqlite")
def _(element: whole, compiler: Any, **more: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **more)} AS INTEGER)"


@compiles(whole, "postgresql")
def _(element: whole, compiler: Any, **more: Any) -> str:
    return f"CAST(floor({compiler.process(element.clauses, **more)}) AS BIGINT)"


@compiles(number_in, "sqlite")
def _(element: number_in, compiler: Any, **more: Any) -> str:
    value, *place = (compiler.process(clause, **more) for clause in element.clauses)
    # Alone it is a number of SQL's already, and by a text of it digits would be lost.
    return f"json_extract({value}, '$[' || {place[0]} || ']')" if place else value


@compiles(number_in, "postgresql")
def _(element: number_in, compiler: Any, **more: Any) -> str:
    value, *place = (compiler.process(clause, **more) for clause in element.clauses)
    found = f"({value} ->> {place[0]})" if place else f"({value} #>> '{{}}')"
    return f"CAST({found} AS FLOAT)"


@compiles(text_in, "sqlite")
def _(element: text_in, compiler: Any, **more: Any) -> str:
    value, name = (compiler.process(clause, **more) for clause in element.clauses)
    return f"json_extract({value}, '$.' || {name})"


@compiles(text_in, "postgresql")
def _(element: text_in, compiler: Any, **more: Any) -> str:
    value, name = (compiler.process(clause, **more) for clause in element.clauses)
    return f"({value} ->> {name})"
