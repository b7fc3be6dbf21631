"""`gesso new`: an agent's file, with every field that one may have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from .options import Project

TEMPLATE = Path(__file__).parent / "new.md"
INBOX = "inbox"

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the agent is called.")]


def new(name: Name, project: Project = Path(".")) -> None:
    """Write DIR/agents/NAME.md, an agent that runs as it is and shows all that a file can say."""
    from ...tools.people import PERSON
    from ..errors import ProjectError
    from ..trigger import AGENT_NAME

    if not re.fullmatch(AGENT_NAME, name):
        what = "is no name: it begins with a small letter; then small letters, digits, _ and -"
        raise ProjectError(f"{name}: {what}")
    if name == PERSON:
        raise ProjectError(f"{name}: is who the agents work for; take another name")
    if not project.is_dir():
        raise ProjectError(f"{project}: no such folder")
    path = project / "agents" / f"{name}.md"
    text = TEMPLATE.read_text(encoding="utf-8").replace("NAME", name)
    try:
        path.parent.mkdir(exist_ok=True)
        (project / INBOX).mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ProjectError(f"{error.filename}: is there already; nothing was written") from None
    except OSError as error:
        raise ProjectError(f"{error.filename}: {error.strerror}") from None
    typer.echo(f"{path}: written; it watches {project / INBOX}. Start it: gesso up {project}")
