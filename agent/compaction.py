"""Compaction: old turns of a conversation that outgrows the context, told by a summary.

Nothing is taken out of the store. A message of the role `summary` is added; towards the model it
stands for the messages between the first two and the position that its name says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ..engine import Message, Request, ToolCall
from ..engine.request import Role
from ..memory import StoredMessage

FULL = 0.75
"""The share of the context from which on the next turn is preceded by a compaction: the turn itself
needs room for its answer."""

CHARACTERS_PER_TOKEN = 3
"""Few, so that what was not counted yet is taken for more than it is."""

SUMMARY_SHARE = 8
MESSAGE_LIMIT = 4000
SUMMARISE = (
    "Summarise the work below for whoever goes on with it: what was asked, what was found out with "
    "every name and number that is still needed, what was done, what is open. Add nothing."
)


def conversation(stored: Sequence[StoredMessage]) -> list[Message]:
    """The messages as the model is given them."""
    summaries = [message for message in stored if message.role == "summary"]
    if not summaries:
        return [_message(message) for message in stored]
    summary = summaries[-1]
    first, asked = (_message(message) for message in stored[:2])
    first = replace(first, content=f"{first.content}\n\n[what happened so far] {summary.content}")
    kept = [message for message in stored[int(summary.name or 0) :] if message.role != "summary"]
    return [first, asked, *(_message(message) for message in kept)]


def needed(
    stored: Sequence[StoredMessage], tokens: int, unseen: int, context_length: int
) -> int | None:
    """The position up to which the conversation should be summarised, or `None`.

    `tokens` are those of the last turn, prompt and output; `unseen` the characters of what was
    added since.
    """
    if tokens + unseen / CHARACTERS_PER_TOKEN < FULL * context_length:
        return None
    kept = max((n for n, message in enumerate(stored) if message.role == "assistant"), default=0)
    begin = max([2, *(int(message.name or 0) for message in stored if message.role == "summary")])
    return kept if kept > begin else None


def summary_request(
    stored: Sequence[StoredMessage], kept: int, context_length: int, seed: int
) -> Request:
    """What the model is asked, to have the messages up to `kept` in short."""
    told = [message for message in conversation(stored[:kept]) if message.content]
    text = "\n\n".join(
        f"{message.name or message.role}: {message.content[:MESSAGE_LIMIT]}" for message in told
    )
    room = int(FULL * context_length) * CHARACTERS_PER_TOKEN
    return Request(
        [Message("system", SUMMARISE), Message("user", text[-room:])],
        seed=seed,
        max_tokens=max(32, context_length // SUMMARY_SHARE),
    )


def _message(message: StoredMessage) -> Message:
    calls = [ToolCall(call["name"], call["arguments"]) for call in message.tool_calls]
    return Message(cast(Role, message.role), message.content, calls, name=message.name)
