"""`gesso inbox`, `approve` and `deny`: what waits for the person, and the person's word."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, Project
from .project import opened_store, when_up

if TYPE_CHECKING:
    from ...memory import Verdict

Number = Annotated[int, typer.Argument(metavar="ID", help="The entry's number in the inbox.")]
Answer = Annotated[
    str, typer.Argument(metavar="[ANSWER]", help="The answer to a question; or a note of your own.")
]
Reason = Annotated[str, typer.Argument(metavar="[REASON]", help="Why; the agent is told.")]


def inbox(
    every: Annotated[bool, typer.Option("--all", help="What was decided too.")] = False,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """What waits for you: calls to approve, questions to answer, messages."""
    from .output import print_json, print_lines

    with opened_store(project) as store:
        entries = store.inbox.entries(open_only=not every)
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        print("Nothing waits.")
    for entry in entries:
        print(f"{entry.id}  {entry.kind}  {entry.agent}  {entry.asked.astimezone():%d %b %H:%M}")
        print_lines(entry.text, "   ")
        if entry.reason:
            print_lines(f"{entry.reason} ({entry.run})", "   ")
        if entry.verdict is not None:
            print_lines(f"{entry.verdict}{f': {entry.note}' if entry.note else ''}", "   ")
    if any(entry.verdict is None for entry in entries):
        print(
            'gesso approve ID; of a question: gesso approve ID "ANSWER"; or gesso deny ID "REASON"'
        )


def approve(number: Number, note: Answer = "", project: Project = Path()) -> None:
    """Let a call be made; answer a question; or put a message aside."""
    _decide(number, "approved", note, project)


def deny(number: Number, note: Reason = "", project: Project = Path()) -> None:
    """Refuse a call, or to answer: the agent is told so, and goes on."""
    _decide(number, "denied", note, project)


def _decide(number: int, verdict: Verdict, note: str, project: Path) -> None:
    from .output import print_lines

    with opened_store(project) as store:
        open_entries = {entry.id: entry for entry in store.inbox.entries()}
        asked = open_entries.get(number)
        if verdict == "approved" and asked is not None and asked.kind == "question" and not note:
            raise typer.BadParameter(f'{number} is a question: gesso approve {number} "ANSWER"')
        entry = store.inbox.decide(number, verdict, note=note, at=datetime.now(UTC))
        run = store.run(entry.run)
    print_lines(f"{verdict}: {entry.text}")
    if run is not None and run.state == "waiting":
        print(f"{run.id} goes on{when_up(project)}")
    elif run is not None and run.state == "paused":
        print(f"{run.id} is paused: gesso resume {run.id}")
