"""A runtime that is up, and waiting for what comes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gesso.agent import Runtime
from gesso.agent.settings import Settings, read_settings
from gesso.agent.state import state_of, store_of
from gesso.engine import Engine
from gesso.memory import Run, Store
from gesso.tools import Tool


def opened(project: Path) -> Store:
    """The project's store, wherever it is."""
    state_of(project)
    return Store(store_of(project, read_settings(project)))


@contextmanager
def up(project: Path, scripted: Engine, *tools: Tool) -> Iterator[Runtime]:
    with Runtime(project, engine=scripted, tools=tools) as runtime:
        runtime.load()
        yield runtime


def go_on(runtime: Runtime, run: Run) -> Run:
    """Deliver, and wait for the run's next part."""
    runtime.deliver()
    after = runtime.store.run(run.id)
    assert after is not None
    return runtime.wait(run.id)


def told(runtime: Runtime, run: Run) -> list[str]:
    return [m.content for m in runtime.store.messages(run.id) if m.role == "tool"]


@contextmanager
def watching(runtime: Runtime, port: int = 0) -> Iterator[None]:
    runtime.settings = Settings(web_port=port)
    stop = threading.Event()
    thread = threading.Thread(target=runtime.watch, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
