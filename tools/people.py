"""The tools by which an agent reaches the person, other agents, and itself at a later time.

None of them waits inside a call: a question parks the run until the person answers, and a message
becomes a run of whoever it is for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from ..memory import Letter
from .errors import ArgumentError
from .tool import Context, PersonNeeded, tool

PERSON = "person"
WAITING_LIMIT = 200
"""Messages that may wait in a store before agents may add no more: they may be telling each other
the same for ever."""

_IN = re.compile(r"in (\d{1,6}) ?(s|m|h|d|seconds?|minutes?|hours?|days?)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Text = Annotated[str, Field(min_length=1, max_length=4000, description="What to say")]


@tool(idempotent=True)
def ask_person(
    question: Annotated[str, Field(min_length=1, max_length=4000, description="The question")],
) -> str:
    """Ask the person something, and wait for the answer."""
    raise PersonNeeded(question)


@tool(idempotent=True)
def send_message(
    to: Annotated[str, Field(description="`person`, or the name of an agent")],
    text: Text,
    context: Context,
) -> str:
    """Tell the person or another agent something, without waiting for an answer."""
    now = datetime.now(UTC)
    if to == PERSON:
        context.store.inbox.add(
            context.key,
            0,
            "message",
            text,
            run=context.run,
            agent=context.agent,
            reason="",
            arguments={},
            at=now,
        )
    elif to in context.listeners:
        _post(context, Letter(context.key, to, context.agent, text, now))
    else:
        known = ", ".join([PERSON, *sorted(context.listeners)])
        raise ArgumentError(f"send_message: to: {to} takes no messages from here; {known} do")
    return "sent"


@tool(idempotent=True)
def schedule(
    when: Annotated[str, Field(description="`in 20 minutes`, or a time: 2026-03-14T09:00+01:00")],
    text: Annotated[str, Field(min_length=1, max_length=4000, description="What to do then")],
    context: Context,
) -> str:
    """Give yourself a message at a later time: a new run begins with it."""
    due = _time(when)
    _post(context, Letter(context.key, context.agent, context.agent, text, due))
    return f"scheduled for {due:%Y-%m-%d %H:%M} UTC"


PEOPLE_TOOLS = (ask_person, send_message, schedule)


def _post(context: Context, letter: Letter) -> None:
    if len(context.store.mail.waiting()) >= WAITING_LIMIT:
        raise ArgumentError(f"{WAITING_LIMIT} messages wait already; no more until some are read")
    context.store.mail.post(letter)


def _time(when: str) -> datetime:
    now = datetime.now(UTC)
    found = _IN.fullmatch(when.strip().lower())
    if found is not None:
        return now + timedelta(seconds=int(found[1]) * _UNITS[found[2][0]])
    try:
        time = datetime.fromisoformat(when.strip())
    except ValueError:
        what = "write `in 20 minutes`, or a time such as 2026-03-14T09:00+01:00"
        raise ArgumentError(f"schedule: when: {when!r} is no time; {what}") from None
    time = time.astimezone(UTC)  # a time without a zone is the machine's
    if time < now:
        raise ArgumentError(f"schedule: when: {when} is past; it is {now:%Y-%m-%dT%H:%M}+00:00 now")
    return time
