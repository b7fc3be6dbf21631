"""`gesso inbox`, `approve` and `deny`: what waits for the person, and the person's word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, Project
from .project import opened_store, when_up

if TYPE_CHECKING:
    from ...memory import Entry, Store, Verdict
    from ...tools import Tool
    from ..agent import Agent
    from ..word import Word

Number = Annotated[int, typer.Argument(metavar="ID", help="The entry's number in the inbox.")]
Answer = Annotated[
    str, typer.Argument(metavar="[ANSWER]", help="The answer to a question; or a note of your own.")
]
Reason = Annotated[str, typer.Argument(metavar="[REASON]", help="Why; the agent is told.")]


Shown = Annotated[
    int | None, typer.Argument(metavar="[ID]", help="An entry, with what its call would change.")
]
Edit = Annotated[
    str | None,
    typer.Option("--edit", metavar="JSON", help="Make the call with these arguments instead."),
]
Always = Annotated[
    str | None,
    typer.Option(metavar="RULE", help="Allow it from now on; gesso inbox ID says the rule."),
]


def inbox(
    number: Shown = None,
    every: Annotated[bool, typer.Option("--all", help="What was decided too.")] = False,
    allowed: Annotated[
        bool, typer.Option("--allowed", help="What you allowed for good, by approve --always.")
    ] = False,
    withdraw: Annotated[
        int | None, typer.Option(metavar="N", help="Take back what you allowed as number N.")
    ] = None,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """What waits for you: calls to approve, questions to answer, messages."""
    from .output import print_json

    with opened_store(project) as store:
        if number is not None:
            _show_one(store, number, project, as_json)
            return
        if withdraw is not None:
            store.grants.withdraw(withdraw)
        if allowed or withdraw is not None:
            _show_allowed(store, as_json)
            return
        entries = store.inbox.entries(open_only=not every)
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        print("Nothing waits.")
    for entry in entries:
        _show(entry)
    if any(entry.verdict is None for entry in entries):
        print(
            'gesso approve ID; of a question: gesso approve ID "ANSWER"; or gesso deny ID "REASON"'
        )


def _show(entry: Entry) -> None:
    from .output import print_lines

    print(f"{entry.id}  {entry.kind}  {entry.agent}  {entry.asked.astimezone():%d %b %H:%M}")
    print_lines(entry.text, "   ")
    if entry.reason:
        print_lines(f"{entry.reason} ({entry.run})", "   ")
    if entry.verdict is not None:
        print_lines(f"{entry.verdict}{f': {entry.note}' if entry.note else ''}", "   ")
    if entry.edited is not None:
        print_lines(f"made with {json.dumps(entry.edited, ensure_ascii=False)}", "   ")


def _show_one(store: Store, number: int, project: Path, as_json: bool) -> None:
    from .output import print_json, print_lines

    with _word(project, store) as word:
        shown = word.show(number)
    if as_json:
        print_json(asdict(shown))
        return
    _show(shown.entry)
    if shown.changes is not None:
        print_lines(shown.changes, "   ")
    if shown.rule is not None and shown.entry.verdict is None:
        print_lines(f"gesso approve {number} --always '{shown.rule}'")


def _show_allowed(store: Store, as_json: bool) -> None:
    from .output import print_json, print_table

    grants = store.grants.all()
    if as_json:
        print_json([asdict(grant) for grant in grants])
        return
    rows = [
        (one.id, one.agent, one.rule, f"{one.at.astimezone():%Y-%m-%d %H:%M}") for one in grants
    ]
    print_table("Allowed beside the agents' files", ("number", "agent", "rule", "since"), rows)


def approve(
    number: Number,
    note: Answer = "",
    edit: Edit = None,
    always: Always = None,
    project: Project = Path(),
) -> None:
    """Let a call be made, as it is or as you change it; answer a question; or put a message
    aside."""
    edited = None
    if edit is not None:
        try:
            edited = json.loads(edit)
        except ValueError as error:
            raise typer.BadParameter(f"--edit: {error}") from None
        if not isinstance(edited, dict):
            raise typer.BadParameter('--edit: the arguments are an object: {"path": "out/a.txt"}')
    _decide(number, "approved", note, project, edited, always)


def deny(number: Number, note: Reason = "", project: Project = Path()) -> None:
    """Refuse a call, or to answer: the agent is told so, and goes on."""
    _decide(number, "denied", note, project)


def _decide(
    number: int,
    verdict: Verdict,
    note: str,
    project: Path,
    edited: dict[str, Any] | None = None,
    always: str | None = None,
) -> None:
    from .output import print_lines

    with opened_store(project) as store, _word(project, store) as word:
        open_entries = {entry.id: entry for entry in store.inbox.entries()}
        asked = open_entries.get(number)
        if verdict == "approved" and asked is not None and asked.kind == "question" and not note:
            raise typer.BadParameter(f'{number} is a question: gesso approve {number} "ANSWER"')
        now = datetime.now(UTC)
        entry = word.give(number, verdict, at=now, note=note, edited=edited, always=always)
        run = store.run(entry.run)
    print_lines(f"{verdict}: {entry.text}")
    if edited is not None:
        print_lines(f"made with {json.dumps(edited, ensure_ascii=False)}", "  ")
    if always is not None:
        print_lines(f"{entry.agent} is allowed {always} from now on: gesso inbox --allowed", "  ")
    if run is not None and run.state == "waiting":
        print(f"{run.id} goes on{when_up(project)}")
    elif run is not None and run.state == "paused":
        print(f"{run.id} is paused: gesso resume {run.id}")


@contextmanager
def _word(project: Path, store: Store) -> Iterator[Word]:
    """The person's word, by the agents' files as they are now; tools that a program of its own adds
    are not known here."""
    from contextlib import closing

    from ...tools import Registry, Servers, Workspace
    from ..calls import tools_of
    from ..runtime import agents_of
    from ..state import SECRETS, STATE
    from ..word import Word

    secrets = project.resolve() / STATE / SECRETS

    def tools(agent: Agent) -> list[Tool]:
        known = [name for name in agent.offered if name in registry.names or "/" in name]
        return tools_of(registry, agent, known)

    with closing(Servers(project.resolve(), secrets)) as servers:
        registry = Registry((), servers)
        yield Word(
            store,
            Workspace(project),
            secrets,
            lambda: {agent.name: agent for agent in agents_of(project)},
            tools,
        )
