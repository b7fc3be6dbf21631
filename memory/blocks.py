"""Blocks: short texts that are always in an agent's prompt, and that the agent and the person edit.

A block has a label, a description that tells the agent what belongs in it, and a value of at most
`bound` characters. A block is one agent's or shared; an agent's own hides a shared one of the same
label. Every agent has the blocks of `FIRST` from the start, empty; they are stored when they are
edited.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from .database import Database
from .errors import BlockError
from .rows import Block, time_of
from .tables import SHARED, blocks
from .upsert import put

BOUND = 2000
_NEVER = datetime.fromtimestamp(0, UTC)

PERSON = Block("person", "Who the person is, and what they like and want.", "", BOUND, _NEVER)
TASK = Block("task", "What you are doing, and what is still open.", "", BOUND, _NEVER)
FIRST = (PERSON, TASK)


class Blocks:
    """The blocks of a store. Without an `agent` it is the shared ones that are read and edited."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, agent: str | None = None) -> list[Block]:
        """The blocks that stand in an agent's prompt, by label."""
        with self._database.read() as connection:
            return sorted(_seen(connection, agent).values(), key=lambda block: block.label)

    def stored(self) -> list[Block]:
        """Every block of everyone that was ever edited; the shared ones first."""
        with self._database.read() as connection:
            return stored(connection)

    def put(
        self,
        label: str,
        value: str,
        *,
        at: datetime,
        agent: str | None = None,
        description: str | None = None,
        bound: int | None = None,
    ) -> Block:
        """Set a block's value as the person wants it, and make the block where there is none.

        A description or a bound that is not given stays as it is. Raises `BlockError` where the
        value is over the bound, or the label is not a name or a number.
        """
        if not label.isidentifier():
            raise BlockError(f"{label!r} is no label: it is one word of letters, digits and _")
        with self._database.write(alone=True) as connection:
            first = {block.label: replace(block, agent=agent) for block in FIRST}
            old = _labelled(connection, agent).get(label) or first.get(label)
            old = old or Block(label, "", "", BOUND, _NEVER, agent)
            new = replace(
                old,
                value=value,
                description=old.description if description is None else description,
                bound=old.bound if bound is None else bound,
                outside=False,
            )
            return keep(connection, new, at)

    def replace(
        self,
        label: str,
        old: str,
        new: str,
        *,
        at: datetime,
        agent: str | None = None,
        outside: bool = False,
    ) -> Block:
        """Put `new` in the place of `old`, which must stand in the block exactly once.

        Where `new` is there and `old` is nowhere else, it was done before. `outside`: what is new
        may have come from outside.
        """
        with self._database.write(alone=True) as connection:
            block = _known(connection, label, agent)
            if new and block.value.count(new) == 1 and old not in block.value.replace(new, ""):
                return block
            count = block.value.count(old) if old else 0
            if count != 1:
                raise BlockError(
                    f"block {label}: {old!r} stands there {count} times, and must once; "
                    + ("quote more of the text around it" if count else f"it says {block.value!r}")
                )
            return keep(connection, _edited(block, block.value.replace(old, new), outside), at)

    def append(
        self,
        label: str,
        text: str,
        *,
        at: datetime,
        agent: str | None = None,
        outside: bool = False,
    ) -> Block:
        """Add a line to the block, if it is not the last one there already. `outside`: the line may
        have come from outside."""
        with self._database.write(alone=True) as connection:
            block = _known(connection, label, agent)
            if f"\n{block.value}".endswith(f"\n{text}"):
                return block
            value = f"{block.value}\n{text}" if block.value else text
            return keep(connection, _edited(block, value, outside), at)


def stored(connection: Connection) -> list[Block]:
    statement = select(blocks).order_by(blocks.c.agent, blocks.c.label)
    return [_block(row) for row in connection.execute(statement)]


def keep(connection: Connection, block: Block, at: datetime) -> Block:
    """Write a block. Raises `BlockError` where its value is over its bound."""
    if len(block.value) > block.bound:
        raise BlockError(
            f"block {block.label}: {len(block.value)} characters are more than its bound of "
            f"{block.bound}; shorten what it says, and remember the rest as facts"
        )
    row = {"description": block.description, "value": block.value, "bound": block.bound}
    row |= {"agent": block.agent or SHARED, "label": block.label, "changed": at.timestamp()}
    row |= {"outside": block.outside}
    put(connection, blocks, row)
    return replace(block, changed=at)


def _edited(block: Block, value: str, outside: bool) -> Block:
    return replace(block, value=value, outside=bool(value) and (block.outside or outside))


def _known(connection: Connection, label: str, agent: str | None) -> Block:
    seen = _seen(connection, agent)
    if label not in seen:
        raise BlockError(f"there is no block {label}; there are {', '.join(sorted(seen))}")
    return seen[label]


def _seen(connection: Connection, agent: str | None) -> dict[str, Block]:
    first = {PERSON.label: PERSON}
    if agent is not None:
        first[TASK.label] = replace(TASK, agent=agent)
    seen = first | _labelled(connection, None)
    return seen if agent is None else seen | _labelled(connection, agent)


def _labelled(connection: Connection, agent: str | None) -> dict[str, Block]:
    statement = select(blocks).where(blocks.c.agent == (agent or SHARED))
    return {row.label: _block(row) for row in connection.execute(statement)}


def _block(row: Row[Any]) -> Block:
    return Block(
        row.label,
        row.description,
        row.value,
        row.bound,
        time_of(row.changed),
        agent=row.agent or None,
        outside=row.outside,
    )
