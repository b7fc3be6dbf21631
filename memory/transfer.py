"""A memory as JSON lines: everything that is remembered, out of one store and into another.

The first line says what the file is; each other line holds one fact or one block. Into a store
without facts they come back as they were, their numbers included. Into one that holds some they get
new numbers, and what is there already stays: an import may be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, false, func, insert, select, update

from .blocks import keep, stored
from .errors import TransferError
from .recall import current
from .rows import Block, Fact, fact_of
from .tables import SHARED, facts
from .upsert import number_on

HEADER = {"gesso": "memory", "version": 1}

Row = TypeVar("Row", Fact, Block)
_FACT, _BLOCK = TypeAdapter(Fact), TypeAdapter(Block)


@dataclass(frozen=True)
class Imported:
    """How many facts and blocks an import added or changed."""

    facts: int
    blocks: int


def export_lines(connection: Connection) -> Iterator[str]:
    """The lines of an export, without their ends."""
    yield _line(HEADER)
    for row in connection.execute(select(facts).order_by(facts.c.id)):
        yield _line({"fact": asdict(fact_of(row))})
    for block in stored(connection):
        yield _line({"block": asdict(block)})


def import_lines(connection: Connection, lines: Iterable[str]) -> Imported:
    """Add what the lines hold.

    A fact that is there already (the same words, source, agent and episode, and current or of the
    same time) is left as it is: what was forgotten here does not come back. Of two blocks the one
    that was changed last stays. Raises `TransferError` with the line's number.
    """
    told, blocks = _parse(lines)
    numbers, added = _add_facts(connection, told)
    for fact in told:
        _settle(connection, fact, numbers, new=fact.id in added)
    here = {(block.agent, block.label): block for block in stored(connection)}
    newer = [
        block
        for block in blocks
        if (old := here.get((block.agent, block.label))) is None or old.changed < block.changed
    ]
    for block in newer:
        keep(connection, block, block.changed)
    return Imported(len(added), len(newer))


def _parse(lines: Iterable[str]) -> tuple[list[Fact], list[Block]]:
    told: dict[int, Fact] = {}
    blocks: list[Block] = []
    seen = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise TransferError(f"line {number}: no JSON ({error})") from None
        if not seen:
            if value != HEADER:
                raise TransferError(
                    f"line {number}: no export of a memory, which begins {_line(HEADER)}"
                )
            seen = True
        elif isinstance(value, dict) and value.keys() == {"fact"}:
            fact = _valid(_FACT, value["fact"], number)
            if fact.id in told:
                raise TransferError(f"line {number}: a second fact {fact.id}")
            told[fact.id] = fact
        elif isinstance(value, dict) and value.keys() == {"block"}:
            blocks.append(_valid(_BLOCK, value["block"], number))
        else:
            raise TransferError(f"line {number}: neither a fact nor a block")
    if not seen:
        raise TransferError("the export is empty")
    for fact in told.values():
        if fact.superseded_by is not None and fact.superseded_by not in told:
            raise TransferError(
                f"fact {fact.id}: what superseded it, {fact.superseded_by}, is not in the export"
            )
    return [told[number] for number in sorted(told)], blocks


def _valid(adapter: TypeAdapter[Row], value: Any, number: int) -> Row:
    try:
        row = adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TransferError(f"line {number}: {where}: {first['msg']}") from None
    times = [getattr(row, name, None) for name in ("at", "forgotten", "used", "changed")]
    if any(time is not None and time.tzinfo is None for time in times):
        raise TransferError(f"line {number}: a time without its zone")
    return row


def _add_facts(connection: Connection, told: Iterable[Fact]) -> tuple[dict[int, int], set[int]]:
    """The number here of each number in the export, and which of the export's were added."""
    before = connection.execute(select(func.max(facts.c.id))).scalar() or 0
    numbers: dict[int, int] = {}
    added: set[int] = set()
    for fact in told:
        row = _row(fact)
        same = [facts.c[name] == row[name] for name in ("text", "source", "agent", "episode")]
        alike = current() if fact.current else false()
        known = connection.execute(
            select(facts.c.id)
            .where(*same, facts.c.id <= before, alike | (facts.c.at == row["at"]))
            .order_by(facts.c.id.desc())
            .limit(1)
        ).scalar()
        if known is None:
            if before == 0:
                row["id"] = fact.id
            if fact.superseded_by is not None:
                # Not current before its successor is there: it may say what a current one says.
                row["forgotten"] = row["at"]
            statement = insert(facts).values(**row).returning(facts.c.id)
            known = connection.execute(statement).scalar_one()
            added.add(fact.id)
        numbers[fact.id] = known
    if before == 0 and added:
        number_on(connection, facts)
    return numbers, added


def _settle(connection: Connection, fact: Fact, numbers: dict[int, int], *, new: bool) -> None:
    """Once all numbers are known: let a fact be superseded as it was, where it is not yet."""
    if fact.superseded_by is None or numbers[fact.superseded_by] == numbers[fact.id]:
        return
    statement = update(facts).where(facts.c.id == numbers[fact.id])
    values: dict[str, Any] = {"superseded_by": numbers[fact.superseded_by]}
    if new:
        values["forgotten"] = _row(fact)["forgotten"]
    else:
        statement = statement.where(current())
    connection.execute(statement.values(**values))


def _row(fact: Fact) -> dict[str, Any]:
    return {
        "text": fact.text,
        "source": fact.source,
        "at": fact.at.timestamp(),
        "agent": fact.agent or SHARED,
        "episode": fact.episode or "",
        "forgotten": None if fact.forgotten is None else fact.forgotten.timestamp(),
        "uses": fact.uses,
        "used": None if fact.used is None else fact.used.timestamp(),
    }


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=datetime.isoformat)
