"""`gesso cost`: what a project's runs took."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The project's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def cost(folder: Folder = Path(), as_json: Json = False) -> None:
    """What the work took, and what the same tokens would have cost in the cloud."""
    from ...memory import Store
    from ..cost import cost_of
    from ..errors import ProjectError
    from .output import cost_json, print_cost, print_json

    path = folder / ".gesso" / "store.db"
    if not path.is_file():
        raise ProjectError(f"{folder}: nothing has run here yet (no {path})")
    with Store(path) as store:
        result = cost_of(store.entries())
    if as_json:
        print_json(cost_json(result))
    else:
        print_cost(result)
