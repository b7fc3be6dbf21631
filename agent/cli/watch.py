"""`gesso watch`: look on."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from .options import Folder


def watch(folder: Folder = Path()) -> None:
    """Watch a project that is up: what its agents do, how their canvases come into focus, and what
    waits for you. `?` shows the keys."""
    import asyncio

    from ..control.client import Control
    from ..control.server import address_of
    from ..screens.monitor.app import Monitor
    from ..state import STATE

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter("the monitor is a screen in a terminal; gesso status is none")
    state = folder.resolve() / STATE
    address_of(state)  # before the screen is taken: whoever is not up is told so

    async def look() -> None:
        async with Control(state) as control:
            await Monitor(control, str(folder.resolve())).run_async()

    asyncio.run(look())
