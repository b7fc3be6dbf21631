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
from datetime import UTC, date, datetime
from decimal import Decimal
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


def plain(value: Any) -> Any:
    """What JSON has no word for, as an event's line has it."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else str(value)


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
        self._add(wake)
        try:
            yield
        finally:
            self._remove(wake)

    def listen(self) -> Listener:
        """A listener of the running asyncio loop."""
        return Listener(self, asyncio.get_running_loop())

    def _add(self, wake: Callable[[], object]) -> None:
        with self._lock:
            self._listeners.add(wake)

    def _remove(self, wake: Callable[[], object]) -> None:
        with self._lock:
            self._listeners.discard(wake)


class Listener:
    """Waits for events on an asyncio loop. A context manager."""

    def __init__(self, events: Events, loop: asyncio.AbstractEventLoop) -> None:
        self._events, self._loop = events, loop
        self._news = asyncio.Event()

    def __enter__(self) -> Listener:
        self._events._add(self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        self._events._remove(self._wake)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._news.set)

    async def wait(self, seconds: float) -> None:
        """Until something was published, or so many seconds."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return
        self._news.clear()
