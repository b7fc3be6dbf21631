"""`gesso stop`: the end of a project's `gesso up`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .options import Folder, Json

Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait.")]


def stop(folder: Folder = Path(), timeout: Timeout = 60.0, as_json: Json = False) -> None:
    """End the `gesso up` of a project after its current step; exit code 1 where none runs."""
    from ..instance import stop as end
    from ..state import STATE
    from .output import print_json

    instance = end(folder.resolve() / STATE, timeout)
    if as_json:
        print_json(asdict(instance))
    else:
        since = f"{instance.since.astimezone():%Y-%m-%d %H:%M:%S}"
        print(f"process {instance.pid}, up since {since}, has stopped")
