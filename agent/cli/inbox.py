"""`gesso inbox`, `approve` and `deny`: what waits for the person, and the person's word."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .project import Json, Project, opened_store

if TYPE_CHECKING:
    from ...memory import Verdict

Number = Annotated[int, typer.Argument(metavar="ID", help="The entry's number in the inbox.")]
Note = Annotated[
    str, typer.Argument(metavar="[NOTE]", help="The answer to a question; or a word to the agent.")
]


def inbox(
    every: Annotated[bool, typer.Option("--all", help="What was decided too.")] = False,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """What waits for you: calls to approve, questions to answer, messages."""
    from .output import print_json

    with opened_store(project) as store:
        entries = store.inbox.entries(open_only=not every)
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        print("Nothing waits.")
    for entry in entries:
        print(f"{entry.id}  {entry.kind}  {entry.agent}  {entry.asked.astimezone():%d %b %H:%M}")
        print(f"   {entry.text}")
        if entry.reason:
            print(f"   {entry.reason} ({entry.run})")
        if entry.verdict is not None:
            print(f"   {entry.verdict}{f': {entry.note}' if entry.note else ''}")
    if any(entry.verdict is None for entry in entries):
        print("gesso approve ID, or gesso deny ID; behind it a note, which the agent is told")


def approve(number: Number, note: Note = "", project: Project = Path()) -> None:
    """Let a call be made; answer a question; or put a message aside."""
    _decide(number, "approved", note, project)


def deny(number: Number, note: Note = "", project: Project = Path()) -> None:
    """Refuse a call, or to answer: the agent is told so, and goes on."""
    _decide(number, "denied", note, project)


def _decide(number: int, verdict: Verdict, note: str, project: Path) -> None:
    with opened_store(project) as store:
        open_entries = {entry.id: entry for entry in store.inbox.entries()}
        asked = open_entries.get(number)
        if verdict == "approved" and asked is not None and asked.kind == "question" and not note:
            raise typer.BadParameter(f'{number} is a question: gesso approve {number} "ANSWER"')
        entry = store.inbox.decide(number, verdict, note=note, at=datetime.now(UTC))
    waits = "" if entry.kind == "message" else f"; {entry.run} goes on with gesso up"
    print(f"{verdict}: {entry.text}{waits}")
