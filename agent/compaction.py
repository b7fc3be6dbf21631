"""Compaction: old turns of a conversation that outgrows the context, told by a summary.

Nothing is taken out of the store. A message of the role `summary` is added; towards the model it
stands for the messages between the first two and the position that its name says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import cast

from ..engine import Image, Message, Request, ToolCall, with_parts
from ..engine.request import Role
from ..memory import StoredMessage

Part = str | Image

FULL = 0.75
"""The share of the context from which on the next turn is preceded by a compaction: the turn itself
needs room for its answer."""

CHARACTERS_PER_TOKEN = 3
"""Few, so that what was not counted yet is taken for more than it is."""

TOKENS_PER_PICTURE = 1000
"""Of one that was not counted yet: Gemma takes 280 for a page, others more."""
SUMMARY_SHARE = 8
MESSAGE_LIMIT = 4000
SUMMARISE = (
    "Summarise the work below for whoever goes on with it: what was asked, what was found out with "
    "every name and number that is still needed, what was done, what is open. Add nothing."
)


def conversation(
    stored: Sequence[StoredMessage], picture: Callable[[str], bytes | None] | None = None
) -> list[Message]:
    """The messages as the model is given them. `picture` gives the file of a digest; without it
    none is shown."""
    summaries = [message for message in stored if message.role == "summary"]
    if not summaries:
        return _messages(stored, picture)
    summary = summaries[-1]
    first, asked = (_message(message) for message in stored[:2])
    first = replace(first, content=f"{first.content}\n\n[what happened so far] {summary.content}")
    kept = [message for message in stored[int(summary.name or 0) :] if message.role != "summary"]
    return [first, asked, *_messages(kept, picture)]


def needed(stored: Sequence[StoredMessage], tokens: int, context_length: int) -> int | None:
    """The position up to which the conversation should be summarised, or `None`.

    `tokens` are those of the last turn, prompt and output; what was added since is reckoned.
    """
    if tokens + _unseen(stored) < FULL * context_length:
        return None
    kept = max((n for n, message in enumerate(stored) if message.role == "assistant"), default=0)
    begin = max([2, *(int(message.name or 0) for message in stored if message.role == "summary")])
    return kept if kept > begin else None


def _unseen(stored: Sequence[StoredMessage]) -> float:
    """Tokens of what the last turn has not read, about."""
    unseen = takewhile(lambda message: message.role != "assistant", reversed(stored))
    return sum(
        len(one.content) / CHARACTERS_PER_TOKEN + len(one.images) * TOKENS_PER_PICTURE
        for one in unseen
    )


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


def _messages(
    stored: Sequence[StoredMessage], picture: Callable[[str], bytes | None] | None
) -> list[Message]:
    """The messages; what the results of a turn's calls show stands behind them, for templates and
    servers know no pictures in a result."""
    messages: list[Message] = []
    shown: list[Part] = []
    for number, message in enumerate(stored):
        messages.append(_message(message))
        if picture is not None:
            shown += _shown(message, picture)
        last = number + 1 == len(stored) or stored[number + 1].role != "tool"
        if shown and last:
            messages.append(with_parts(Message("user"), shown))
            shown = []
    return messages


def _shown(message: StoredMessage, picture: Callable[[str], bytes | None]) -> list[Part]:
    if not message.images:
        return []
    parts: list[Part] = [f"[what {message.name} shows]"]
    for digest in message.images:
        data = picture(digest)
        parts.append("[a picture that is not kept any more]" if data is None else Image(data))
    return parts


def _message(message: StoredMessage) -> Message:
    calls = [ToolCall(call["name"], call["arguments"]) for call in message.tool_calls]
    return Message(cast(Role, message.role), message.content, calls, name=message.name)
