"""`gesso tell`: a message from the person to an agent."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from .options import Project


def tell(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent.")],
    text: Annotated[str, typer.Argument(metavar="MESSAGE", help="What to tell it.")],
    project: Project = Path(),
) -> None:
    """Give an agent a message; it is taken up at once when the project is up, else later."""
    from ...memory import Letter, Store
    from ...tools.people import PERSON
    from ..errors import ProjectError
    from ..settings import read_settings
    from ..state import state_of, store_of
    from ..status import status_of

    agents = status_of(project).agents
    known = [agent.name for agent in agents if agent.name is not None]
    broken = [agent.problem for agent in agents if agent.problem is not None]
    if name not in known:
        also = f"; and {broken[0]}" if broken else ""
        raise ProjectError(f"unknown agent {name}; known are {', '.join(known) or 'none'}{also}")
    if not text.strip():
        raise ProjectError("the message says nothing")
    state_of(project)  # made where there is none
    with Store(store_of(project, read_settings(project))) as store:
        store.mail.post(Letter(uuid.uuid4().hex, name, PERSON, text, datetime.now(UTC)))
    print(f"told {name}")
