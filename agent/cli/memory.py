"""`gesso memory`: what a project's agents remember, for the person to search and to mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, Project

if TYPE_CHECKING:
    from ...memory import Block, Fact, Memory

memory = typer.Typer(name="memory", help="Search and mend what the agents remember.")

OfAgent = Annotated[
    str | None, typer.Option("--agent", metavar="NAME", help="As this agent sees it.")
]


@memory.command()
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")],
    limit: Annotated[int, typer.Option("-k", "--limit", min=1, help="Facts at most.")] = 10,
    agent: OfAgent = None,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """The facts that tell most of a query, best first."""
    with _opened(project) as opened:
        found = opened.recall(query, limit, agent=agent)
    _show_facts(found, as_json)


@memory.command("list")
def list_all(
    agent: OfAgent = None,
    every: Annotated[
        bool, typer.Option("--all", help="The superseded and forgotten facts too.")
    ] = False,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """The blocks and the facts, oldest first."""
    from .output import print_json, print_table

    with _opened(project) as opened:
        blocks = opened.blocks.stored() if agent is None else opened.blocks.of(agent)
        facts = opened.facts(agent=agent, every=every)
    if as_json:
        print_json({"blocks": _plain(blocks), "facts": _plain(facts)})
        return
    print_table(
        "Blocks",
        ("block", "agent", "characters", "of", "value", ""),
        [
            (
                block.label,
                block.agent,
                len(block.value),
                block.bound,
                block.value,
                "from outside" if block.outside else "",
            )
            for block in blocks
        ],
    )
    _show_facts(facts, as_json)


@memory.command()
def edit(
    what: Annotated[
        str, typer.Argument(metavar="NUMBER|LABEL", help="A fact's number, or a block's label.")
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it should say.")],
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="NAME", help="Whose block; else the shared one."),
    ] = None,
    description: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What belongs in the block.")
    ] = None,
    bound: Annotated[
        int | None, typer.Option(min=1, help="How many characters the block may have.")
    ] = None,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """Say a fact anew, or set a block. The fact's old words stay in `list --all`."""
    from ...tools.people import PERSON

    now = datetime.now(UTC)
    with _opened(project, new=True) as opened:
        if not what.isdecimal():
            block = opened.blocks.put(
                what, text, at=now, agent=agent, description=description, bound=bound
            )
            _show(block, f"block {block.label} is set", as_json)
            return
        if (agent, description, bound) != (None, None, None):
            raise typer.BadParameter("--agent, --description and --bound are a block's")
        old = opened.fact(int(what))
        fact = opened.remember(
            text, source=PERSON, at=now, agent=old.agent, episode=old.episode, supersedes=[old.id]
        )
    _show(fact, f"fact {fact.id} supersedes fact {old.id}", as_json)


@memory.command()
def forget(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER…", help="The facts' numbers.")],
    erase: Annotated[
        bool, typer.Option("--erase", help="Take the text out of the store's file as well.")
    ] = False,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """Recall facts no more; they stay in `list --all`, with `--erase` without their text."""
    from .output import print_json

    now = datetime.now(UTC)
    with _opened(project) as opened:
        for number in numbers:
            opened.fact(number)  # before any is forgotten
        forgotten = [opened.forget(number, at=now, erase=erase) for number in numbers]
    if as_json:
        print_json(_plain(forgotten))
    else:
        for fact in forgotten:
            print(f"fact {fact.id} is {'erased' if erase else 'forgotten'}")


@memory.command("export")
def export_all(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A new file.")] = None,
    project: Project = Path(),
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines, as without this option.")
    ] = False,
) -> None:
    """Everything that is remembered as JSON lines, on standard output or in a file."""
    with _opened(project) as opened:
        lines = opened.export()
    if file is None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None


@memory.command("import")
def import_all(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; - is standard input.")],
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """Add an export's facts and blocks; what is there already stays."""
    from .output import print_json

    try:
        text = sys.stdin.read() if file == Path("-") else file.read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    with _opened(project, new=True) as opened:
        counts = opened.import_(text.split("\n"))
    if as_json:
        print_json(asdict(counts))
    else:
        print(f"{counts.facts} facts and {counts.blocks} blocks were added")


@memory.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """Copy the project's whole store into a new file, safe while agents run."""
    from .output import print_json

    with _opened(project) as opened:
        opened.backup(file)
    size = file.stat().st_size
    if as_json:
        print_json({"path": str(file), "bytes": size})
    else:
        print(f"{file}: {size} bytes")


@contextmanager
def _opened(project: Path, *, new: bool = False) -> Iterator[Memory]:
    """The memory of a project; with `new`, one is made where there is none."""
    from ...memory import Memory
    from ..errors import ProjectError
    from ..runtime import embedding_of
    from ..settings import read_settings
    from ..state import STATE, has_store, state_of, store_of

    settings = read_settings(project)
    where = store_of(project, settings)
    if new:
        state_of(project)
    elif not has_store(project, settings):
        raise ProjectError(f"{project}: nothing is remembered here yet (no {where})")
    with Memory(where, embedding=embedding_of(settings, project / STATE)) as opened:
        yield opened


def _show(value: Fact | Block, line: str, as_json: bool) -> None:
    from .output import print_json

    if as_json:
        print_json(_plain([value])[0])
    else:
        print(line)


def _show_facts(facts: Sequence[Fact], as_json: bool) -> None:
    from .output import print_json, print_table

    if as_json:
        print_json(_plain(facts))
        return
    print_table(
        "Facts",
        ("fact", "time", "agent", "source", "text", ""),
        [
            (
                fact.id,
                fact.at.strftime("%Y-%m-%d %H:%M"),
                fact.agent,
                fact.source,
                fact.text,
                _state(fact),
            )
            for fact in facts
        ],
    )


def _state(fact: Fact) -> str:
    if fact.superseded_by is not None:
        return f"superseded by {fact.superseded_by}"
    if fact.forgotten is not None:
        return "forgotten" if fact.text else "erased"
    return ""


def _plain(rows: Sequence[Fact | Block]) -> list[dict[str, Any]]:
    """With the times as in an export."""
    return [
        {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(row).items()
        }
        for row in rows
    ]
