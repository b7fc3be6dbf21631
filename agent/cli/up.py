"""`gesso up`: a project, always on."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.")]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="A model instead of those in the agents' files.")
]
Device = Annotated[str | None, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:1, …")]
Dtype = Annotated[str | None, typer.Option(metavar="T", help="auto, float32, bfloat16, float16.")]
Quantize = Annotated[str | None, typer.Option(metavar="Q", help="Weights in int8 or int4.")]
Concurrency = Annotated[int | None, typer.Option(metavar="N", help="Runs at a time.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Log one JSON object a line.")]


def up(
    folder: Folder,
    model: Model = None,
    device: Device = None,
    dtype: Dtype = None,
    quantize: Quantize = None,
    concurrency: Concurrency = None,
    worker: Annotated[
        bool,
        typer.Option("--worker", help="Only carry out runs that another `gesso up` queues."),
    ] = False,
    as_json: JsonLines = False,
) -> None:
    """Run every agent of DIR/agents whenever a trigger of it asks for it, until Ctrl-C or
    `gesso stop`.

    The log is on standard error; with --json it is on standard output. Workers share the queue of
    a database in PostgreSQL, on any machines, each with a copy of DIR; Ctrl-C ends one.
    """
    from ..control.server import controlled
    from ..errors import SettingsError
    from ..instance import held
    from ..log import published, redactor_of, start
    from ..recording import recorded
    from ..runtime import Runtime, agents_of
    from ..settings import read_settings
    from ..state import SECRETS, state_of
    from ..telemetry import exporting

    agents = agents_of(folder)  # before a project is made of a folder that is none
    settings = read_settings(
        folder,
        model=model,
        device=device,
        dtype=dtype,
        quantize=quantize,
        concurrency=concurrency,
        log_format="json" if as_json else None,
    )
    if worker and settings.database_url is None:
        raise SettingsError(
            f"{folder}: a worker takes runs from PostgreSQL: set database_url in gesso.toml or "
            "GESSO_DATABASE_URL"
        )
    handler = start(logging.INFO, settings.log_format)
    log = logging.getLogger("gesso")
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if received:  # at once: the step that is running is not waited for, it runs again
            os._exit(_code([number]))
        received.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs deaf to SIGINT
        signal.signal(number, interrupt)
    state = state_of(folder.resolve())
    # before the runtime is open: it goes on at once with what the last one left
    secrets = [name for agent in agents for name in agent.secrets]
    redactor = redactor_of([*secrets, *settings.remote_keys.values()], state / SECRETS)
    handler.addFilter(redactor)
    with (
        suppress(KeyboardInterrupt),
        nullcontext() if worker else held(state),
        exporting(os.environ),
        Runtime(folder, settings=settings) as runtime,
    ):
        try:
            agents = runtime.load()
            for agent in agents:
                runtime.engine(runtime.model_of(agent))
            what = "works" if worker else "is up"
            log.info("%s %s: %s", runtime.folder, what, ", ".join(agent.name for agent in agents))
            with (
                nullcontext() if worker else controlled(runtime, state),
                published(runtime.events, redactor),
                recorded(runtime.events, state) if settings.recordings else nullcontext(),
            ):
                (runtime.work if worker else runtime.watch)(threading.Event())
        except KeyboardInterrupt:
            log.info("stopping after the current step; once more to leave at once")
    log.info("stopped; what is unfinished goes on at the next start")
    raise typer.Exit(_code(received))


def _code(received: Sequence[int]) -> int:
    """Who terminates a service wants no failure; who interrupts a command, its usual code."""
    return 130 if signal.SIGINT in received else 0
