"""`gesso models`: the checkpoints on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .options import Json

models = typer.Typer(name="models", help="The models on this machine.", no_args_is_help=True)

Hub = Annotated[str, typer.Argument(metavar="MODEL", help="A hub id, as google/diffusiongemma-….")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A hub id, a folder, or sketch.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@models.command()
def pull(model: Hub) -> None:
    """Download MODEL from the hub, or go on where a download was interrupted."""
    from ...engine.library import pull as fetch

    print(fetch(model))


@models.command("list")
def list_models(as_json: Json = False) -> None:
    """The checkpoints that were downloaded and can be run, and the bundled one."""
    from ...engine.checkpoint import SKETCH
    from ...engine.library import stored
    from .output import print_json, print_table

    found = stored()
    if as_json:
        print_json([asdict(one) | {"folder": str(one.folder)} for one in found])
        return
    rows = [
        (one.name, f"{one.size / 1e9:.1f} GB", one.layout, f"{one.used:%Y-%m-%d}") for one in found
    ]
    size = sum(file.stat().st_size for file in SKETCH.iterdir() if file.is_file())
    rows.append(("sketch", f"{size / 1e9:.3f} GB", "bundled", ""))
    print_table(f"{len(rows)} models", ["model", "size", "weights", "last used"], rows)


@models.command()
def verify(model: Model, as_json: Json = False) -> None:
    """Check MODEL's files: what is read at a start, and every byte of what came from the hub.

    Exit code 1 where something is wrong.
    """
    from ...engine.library import verify as check
    from .output import print_json, print_lines

    found = []
    for one in check(model):
        found.append(one)
        if not as_json:
            print_lines(f"✗ {one.wrong}" if one.wrong else f"✓ {one.file}: {one.how}")
    if as_json:
        print_json([asdict(one) for one in found])
    if any(one.wrong for one in found):
        raise typer.Exit(1)


@models.command()
def rm(model: Hub, yes: Yes = False) -> None:
    """Delete MODEL from the cache, which other programs may share."""
    from ...engine.library import find, remove

    size = find(model).size
    if not yes and not typer.confirm(f"Delete {model} ({size / 1e9:.1f} GB)?"):
        raise typer.Exit(1)
    print(f"{remove(model) / 1e9:.1f} GB are free again")
