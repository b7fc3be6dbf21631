"""The tools by which an agent keeps and edits its memory.

Every one may run twice for one call, after a kill, and does its work once. What the memory refuses
(a fact that is not there, a block over its bound) is told to the model as a bad argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from ..memory import Block, BlockError, FactError
from .errors import ArgumentError
from .tool import Context, tool

RECALLED = 8  # facts: a screenful, a few hundred tokens of prompt

Label = Annotated[str, Field(description="The block's label")]


@tool(idempotent=True)
def remember(
    text: Annotated[str, Field(description="One fact, in a sentence that stands alone")],
    context: Context,
    supersedes: Annotated[
        list[int], Field(description="Numbers of recalled facts that it replaces")
    ] = [],  # noqa: B006 - the schema shows it; nobody changes it
    shared: Annotated[bool, Field(description="Whether other agents should know it too")] = False,
) -> dict[str, Any]:
    """Keep a fact for later runs."""
    with _refusals():
        fact = context.store.memory.remember(
            text,
            source=context.source or f"agent {context.agent}",
            at=datetime.now(UTC),
            agent=None if shared else context.agent,
            supersedes=_seen(context, supersedes),
        )
    return {"fact": fact.id}


@tool(idempotent=True)
def recall(
    query: Annotated[str, Field(description="What to look for, in words that it would contain")],
    context: Context,
) -> list[dict[str, Any]]:
    """Look for what was remembered, with its source and time."""
    now = datetime.now(UTC)
    memory = context.store.memory
    found = memory.recall(query, RECALLED, agent=context.agent, at=now)
    memory.count_use(found, at=now)
    return [
        {"fact": fact.id, "text": fact.text, "source": fact.source, "time": f"{fact.at:%Y-%m-%d}"}
        for fact in found
    ]


@tool(idempotent=True)
def forget(
    fact: Annotated[int, Field(description="Number of a recalled fact")], context: Context
) -> str:
    """Recall a fact no more, because it is wrong or unwanted."""
    with _refusals():
        context.store.memory.forget(fact, at=datetime.now(UTC), agent=context.agent)
    return "forgotten"


@tool(idempotent=True)
def append_to_block(
    label: Label,
    text: Annotated[str, Field(description="The line to add")],
    context: Context,
) -> str:
    """Add a line to a block of what is always in the prompt."""
    with _refusals():
        block = context.store.memory.blocks.append(
            label, text, at=datetime.now(UTC), agent=context.agent, outside=context.outside
        )
    return _room(block)


@tool(idempotent=True)
def replace_in_block(
    label: Label,
    old: Annotated[str, Field(description="A passage that stands in the block once")],
    new: Annotated[str, Field(description="What should stand there; empty to remove it")],
    context: Context,
) -> str:
    """Replace a passage in a block of what is always in the prompt."""
    with _refusals():
        block = context.store.memory.blocks.replace(
            label, old, new, at=datetime.now(UTC), agent=context.agent, outside=context.outside
        )
    return _room(block)


MEMORY_TOOLS = (remember, recall, forget, append_to_block, replace_in_block)


def _seen(context: Context, numbers: list[int]) -> list[int]:
    """The numbers, once it is sure that the agent may know each fact: one that it shares could
    otherwise supersede another agent's."""
    for number in numbers:
        context.store.memory.fact(number, agent=context.agent)
    return numbers


def _room(block: Block) -> str:
    return f"block {block.label}: {len(block.value)} of {block.bound} characters"


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (FactError, BlockError) as error:
        raise ArgumentError(str(error)) from None
