"""`gesso up` and `gesso stop`: a project, always on."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.")]
ThisFolder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The project's folder.")]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="A model instead of those in the agents' files.")
]
Device = Annotated[str | None, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:1, …")]
Dtype = Annotated[str | None, typer.Option(metavar="T", help="auto, float32, bfloat16, float16.")]
Concurrency = Annotated[int | None, typer.Option(metavar="N", help="Runs at a time.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Log one JSON object a line.")]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def up(
    folder: Folder,
    model: Model = None,
    device: Device = None,
    dtype: Dtype = None,
    concurrency: Concurrency = None,
    as_json: JsonLines = False,
) -> None:
    """Run every agent of DIR/agents and watch their folders, until Ctrl-C or `gesso stop`.

    The log is on standard error; with --json it is on standard output.
    """
    from ..instance import held
    from ..log import redactor_of, start
    from ..runtime import Runtime, agent_files, state_folder
    from ..settings import read_settings
    from ..telemetry import exporting

    agent_files(folder)  # before a project is made of a folder that is none
    settings = read_settings(
        folder,
        model=model,
        device=device,
        dtype=dtype,
        concurrency=concurrency,
        log_format="json" if as_json else None,
    )
    handler = start(logging.INFO, settings.log_format)
    log = logging.getLogger("gesso")
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs deaf to SIGINT
        signal.signal(number, interrupt)
    state = state_folder(folder.resolve())
    try:
        with held(state), exporting(os.environ), Runtime(folder, settings=settings) as runtime:
            try:
                agents = runtime.load()
                secrets = [name for agent in agents for name in agent.secrets]
                handler.addFilter(redactor_of(secrets, state / "secrets"))
                for agent in agents:
                    runtime.engine(runtime.model_of(agent))
                log.info("%s is up: %s", runtime.folder, ", ".join(agent.name for agent in agents))
                runtime.watch(threading.Event())
            except KeyboardInterrupt:
                log.info("stopping after the current step; once more to leave at once")
    except KeyboardInterrupt:
        if len(received) > 1:
            raise
    log.info("stopped; what is unfinished goes on at the next start")
    raise typer.Exit(130 if signal.SIGINT in received else 0)


def stop(folder: ThisFolder = Path(), timeout: Timeout = 60.0, as_json: Json = False) -> None:
    """End the `gesso up` of a project after its current step."""
    from dataclasses import asdict

    from ..instance import stop as stop_instance
    from ..runtime import STATE
    from .output import print_json

    instance = stop_instance(folder.resolve() / STATE, timeout)
    if as_json:
        print_json(asdict(instance))
    else:
        print(
            f"stopped process {instance.pid}, which was up since {instance.since.astimezone():%c}"
        )
