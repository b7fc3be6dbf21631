"""What happens in a runtime, as it happens: the last of it is kept, for whoever looks on.

An event has a number, and numbers ascend over restarts too (they begin at the clock), so whoever
comes back says which it saw last and gets what came after. Nothing rests on events: what must not
be lost is in the store.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["run", "turn", "draft", "commit", "usage", "call", "result", "inbox", "log", "gap"]

KEPT = 4096


@dataclass(frozen=True)
class Happening:
    """One event. `data` is JSON: of a `run` its state and reason; of a `turn` its number; of a
    `draft` its canvas, step, tokens' texts, how many of them are settled and how sure each is; of a
    `usage` what the turn took; of a `call` and a `result` their text. A `gap` stands for what is
    not kept any more."""

    id: int
    at: datetime
    kind: Kind
    run: str | None = None
    agent: str | None = None
    data: Mapping[str, Any] | None = None


class Events:
    """The events of a runtime. Any thread may publish."""

    def __init__(self) -> None:
        self._kept: deque[Happening] = deque(maxlen=KEPT)
        self._next = time.time_ns() // 1_000_000
        self._lock = threading.Lock()
        self._listeners: set[Callable[[], object]] = set()

    @property
    def listened(self) -> bool:
        """Whether anybody looks on: what is only to be looked at need not be made else."""
        return bool(self._listeners)

    def publish(
        self, kind: Kind, *, run: str | None = None, agent: str | None = None, **data: Any
    ) -> None:
        with self._lock:
            self._kept.append(Happening(self._next, datetime.now(UTC), kind, run, agent, data))
            self._next += 1
            listeners = list(self._listeners)
        for wake in listeners:
            wake()

    def after(self, last: int | None) -> list[Happening]:
        """What came after an event, or what comes from now on where none is named: nothing yet. It
        begins with a gap where some of it is not kept any more."""
        with self._lock:
            if last is None:
                return [Happening(self._next - 1, datetime.now(UTC), "gap")]
            found = [one for one in self._kept if one.id > last]
            lost = last + 1 < (self._kept[0].id if self._kept else self._next)
            first = found[0].id if found else self._next
        gap = [Happening(first - 1, datetime.now(UTC), "gap")] if lost else []
        return [*gap, *found]

    @contextmanager
    def told(self, wake: Callable[[], object]) -> Iterator[None]:
        """Have `wake` called after each event that is published inside, on the thread of whoever
        publishes: it should be quick."""
        with self._lock:
            self._listeners.add(wake)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(wake)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Listen on the running asyncio loop."""
        listener = Listener()
        with self.told(listener.wake):
            yield listener


class Listener:
    """Waits for events on the asyncio loop that it was made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def wake(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._news.set)

    async def wait(self, seconds: float) -> None:
        """Until something was published, or so many seconds."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return
        self._news.clear()
