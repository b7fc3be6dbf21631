"""`gesso watch`: look on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Folder

if TYPE_CHECKING:
    from ..control.client import Control
    from ..control.replay import Replay

ReplayOption = Annotated[
    str | None,
    typer.Option("--replay", metavar="RUN", help="Play a recorded run again: its name or file."),
]
Speed = Annotated[
    float, typer.Option(metavar="X", min=0.01, help="How many times as fast as it was.")
]
Web = Annotated[bool, typer.Option("--web", help="Serve the screen to a browser of this machine.")]
Port = Annotated[int, typer.Option(metavar="P", min=1, max=65535, help="For --web.")]


def watch(
    folder: Folder = Path(),
    replay: ReplayOption = None,
    speed: Speed = 1.0,
    web: Web = False,
    port: Port = 8000,
) -> None:
    """Watch a project that is up: what its agents do, how their canvases come into focus, and what
    waits for you. `?` shows the keys."""
    import asyncio

    from ..control.client import Control
    from ..control.replay import Replay
    from ..control.server import address_of
    from ..recording import recording
    from ..screens.monitor.app import Monitor
    from ..state import STATE

    state = folder.resolve() / STATE
    # Before the screen is taken: whoever is not up, or has no such recording, is told so.
    events = None if replay is None else recording(state, replay)
    if events is None:
        address_of(state)
    if web:
        _serve(folder, replay, speed, port)
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter("the monitor is a screen in a terminal; gesso status is none")

    async def look(control: Control | Replay, first: str) -> None:
        await Monitor(control, str(folder.resolve()), first=first).run_async()

    async def live() -> None:
        async with Control(state) as control:
            await look(control, "home")

    asyncio.run(live() if events is None else look(Replay(events, speed), "run"))


def _serve(folder: Path, replay: str | None, speed: float, port: int) -> None:
    from ..errors import RunError

    try:
        from textual_serve.server import Server
    except ImportError:
        raise RunError("--web needs textual-serve: pip install 'gesso[web]'") from None
    command = [sys.executable, "-m", "gesso.agent", "watch", str(folder.resolve())]
    if replay is not None:
        command += ["--replay", replay, "--speed", str(speed)]
    Server(shlex.join(command), host="127.0.0.1", port=port, title="gesso").serve()
