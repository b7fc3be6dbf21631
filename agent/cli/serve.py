"""`gesso serve`: a model for other programs."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR", help="A project, for its settings and secrets; its ledger tells the cost."
    ),
]
Model = Annotated[str | None, typer.Option(metavar="M", help="sketch, a folder, or a hub id.")]
Device = Annotated[str | None, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:1, …")]
Dtype = Annotated[str | None, typer.Option(metavar="T", help="auto, float32, bfloat16, float16.")]
Host = Annotated[str, typer.Option(metavar="H", help="Where to listen.")]
Port = Annotated[int, typer.Option(metavar="P", min=0, max=65535, help="0 is any free port.")]
Key = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A secret that clients must show, by its name in the environment or, of a project,"
        " in .gesso/secrets; may be given several times.",
    ),
]
SideBySide = Annotated[int, typer.Option(metavar="N", min=1, help="Requests written at once.")]
Waiting = Annotated[int, typer.Option(metavar="N", min=0, help="Requests that wait, at most.")]
MaxTokens = Annotated[int, typer.Option(metavar="N", min=1, help="An answer's longest length.")]


def serve(
    folder: Folder = None,
    model: Model = None,
    device: Device = None,
    dtype: Dtype = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    key: Key = None,
    side_by_side: SideBySide = 8,
    waiting: Waiting = 64,
    max_tokens: MaxTokens = 4096,
) -> None:
    """Serve a model by OpenAI's and Anthropic's APIs, until Ctrl-C: what is being written is ended,
    what waits is refused. Without a --key, only programs of this machine may ask.
    """
    from ...engine import Engine, RequestError
    from ...memory import Store
    from ...tools.secret import Secrets, look_up
    from ..allocator import GIVE_BACK_SECONDS, give_back
    from ..log import start
    from ..models import engine_of
    from ..serve import Limits, serving
    from ..serve.keys import Keys
    from ..settings import Settings, read_settings
    from ..state import SECRETS, STATE, state_of, store_of

    flags: dict[str, Any] = {"model": model, "device": device, "dtype": dtype}
    given = {name: value for name, value in flags.items() if value is not None}
    settings = Settings(**given) if folder is None else read_settings(folder, **flags)
    state = None if folder is None else state_of(folder.resolve())
    secrets = Secrets(
        look_up(key or (), environment=os.environ, file=None if state is None else state / SECRETS)
    )
    keys = Keys(secrets)
    keys.check_host(host)  # before a model is loaded
    handler = start(logging.INFO, settings.log_format)
    handler.addFilter(secrets.redactor)
    log = logging.getLogger("gesso")
    stopping = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():  # at once: what is being written is lost
            os._exit(130 if number == signal.SIGINT else 0)
        stopping.set()

    with ExitStack() as open_now:
        store = None
        if folder is not None:
            store = open_now.enter_context(Store(store_of(folder.resolve(), settings)))
        name = settings.model or "sketch"
        engine = engine_of(name, settings, state or Path(STATE))
        if not isinstance(engine, Engine):
            raise RequestError(f"{name} is served already: programs can ask it themselves")
        limits = Limits(side_by_side, waiting, max_tokens)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupt)
        url = open_now.enter_context(
            serving(engine, host=host, port=port, keys=keys, limits=limits, store=store)
        )
        log.info("%s is served at %s/v1", engine.name, url)
        while not stopping.wait(GIVE_BACK_SECONDS):
            give_back()
        log.info("stopping after what is being written; once more to leave at once")
    log.info("stopped")
