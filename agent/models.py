"""Engines as a project's settings want them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as ProgressBar

from ..engine import AnyEngine, RemoteEngine, RequestError, load_engine
from ..engine.checkpoint import Progress
from ..tools import read_secrets
from .cost.hardware import terms_of
from .settings import Settings
from .state import SECRETS

ADDRESS = re.compile(r"https?://[^#\s]+")
"""Of a model that another process serves, on this machine or on another one."""


def engine_of(model: str, settings: Settings, state: Path) -> AnyEngine:
    """The engine of a model: `sketch`, a folder, a hub id, or `URL#NAME` for one behind an
    OpenAI-compatible address. `state` is the project's folder of state.

    Raises what `load_engine` raises, `RequestError` for an address without a name, `SecretError`
    where its key is missing, and `CostError` for a machine that is unknown.
    """
    if ADDRESS.match(model):
        url, _, name = model.partition("#")
        if not name:
            raise RequestError(f"{model}: name the model behind the address, as in {url}#NAME")
        return RemoteEngine(
            url,
            name,
            key=_key(url, settings, state),
            context_length=settings.remote_context,
            sees=settings.remote_images,
        )
    watts = terms_of(settings).load_watts
    with _told(model) as progress:
        return load_engine(
            model,
            settings.device,
            settings.dtype,
            adapter=settings.adapter,
            quantize=settings.quantize,
            load_watts=watts,
            progress=progress,
        )


@contextmanager
def _told(model: str) -> Iterator[Progress | None]:
    """A bar for whoever waits before a terminal; the bundled model is there at once."""
    if model == "sketch" or not sys.stderr.isatty():
        yield None
        return
    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"loading {model}", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _key(url: str, settings: Settings, state: Path) -> str | None:
    """The key that the settings name for an address; no other address is shown it."""
    named = {known.rstrip("/"): name for known, name in settings.remote_keys.items()}
    name = named.get(url.rstrip("/"))
    if name is None:
        return None
    return read_secrets([name], environment=os.environ, file=state / SECRETS)[name]
