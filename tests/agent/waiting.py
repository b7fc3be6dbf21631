"""A runtime whose triggers are at work, and waiting for what comes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gesso.agent import Runtime
from gesso.agent.settings import Settings


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
