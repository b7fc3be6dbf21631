"""`gesso up`: a project, always on."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.")]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="A model instead of those in the agents' files.")
]


def up(folder: Folder, model: Model = None) -> None:
    """Run every agent of DIR/agents whenever a trigger of it asks for it, until Ctrl-C."""
    from ..runtime import Runtime, agent_files
    from .output import log_to_standard_error

    log_to_standard_error(logging.INFO)
    log = logging.getLogger("gesso")
    agent_files(folder)  # before a project is made of a folder that is none
    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs deaf to SIGINT
        signal.signal(stop, signal.default_int_handler)
    with Runtime(folder, engine=model) as runtime:
        agents = runtime.load()
        for agent in agents:
            runtime.engine(runtime.model_of(agent))
        log.info("%s is up: %s", runtime.folder, ", ".join(agent.name for agent in agents))
        try:
            runtime.watch(threading.Event())
        except KeyboardInterrupt:
            log.info("stopping after the current step; Ctrl-C again to leave at once")
    log.info("stopped; what is unfinished goes on at the next start")
    raise typer.Exit(130)
