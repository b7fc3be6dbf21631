"""`gesso cost`: what a project's runs took."""

from __future__ import annotations

from pathlib import Path

from .options import Folder, Json
from .project import opened_store


def cost(folder: Folder = Path(), as_json: Json = False) -> None:
    """What the work took, and what the same tokens would have cost in the cloud."""
    from ..cost import cost_of
    from .output import cost_json, print_cost, print_json

    with opened_store(folder) as store:
        result = cost_of(store.entries())
    if as_json:
        print_json(cost_json(result))
    else:
        print_cost(result)
