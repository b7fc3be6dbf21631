"""Requests that wait for the engine, and those that it writes side by side.

One thread has the engine. Between any two steps of the model it lets those go that nobody waits for
any more, and takes in the next ones, in the order in which they came to be ready. What is slow
before that (to compile a schema) is done on threads of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from ...engine import AnswerError, Commit, Engine, EngineError, OpenBatch, Plan, Result, Usage
from ..allocator import GIVE_BACK_SECONDS, give_back
from .refusal import Refusal

log = logging.getLogger("gesso")

Returned = TypeVar("Returned")
Given = ParamSpec("Given")

Told = int | Commit | Result | EngineError | Refusal
"""First how many tokens the prompt has, once it is being written; last the result, or why not."""

PREPARERS = 2
LONGEST_WAIT = 60
"""Seconds that a client is told to wait, at most."""
GUESS_SECONDS = 1.0
"""What a turn takes, before any was written."""
WEIGHT = 0.2
"""Of the last turn, in what a turn is said to take."""


class Queue:
    """At most `side_by_side` requests are written at once, and `most_waiting` more are let in.
    `ended` is told what every turn took, also one that was given up, on the engine's thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        side_by_side: int,
        most_waiting: int,
        ended: Callable[[Usage], None] | None = None,
    ) -> None:
        self.engine = engine
        self._side_by_side = side_by_side
        self._most = side_by_side + most_waiting
        self._ended = ended or (lambda usage: None)
        self._changed = threading.Condition()
        self._places: set[Place] = set()
        self._waiting: deque[Place] = deque()
        self._closing = False
        self._seconds = GUESS_SECONDS
        self._preparing = ThreadPoolExecutor(PREPARERS, thread_name_prefix="prepare")
        self._writing = threading.Thread(target=self._write, name="engine", daemon=True)
        self._writing.start()

    def enter(self) -> Place:
        """A place, until `leave`. Raises `Refusal` where there is none."""
        with self._changed:
            if self._closing:
                raise closing()
            if len(self._places) >= self._most:
                after = self._wait_seconds()
                what = f"{len(self._places)} requests are here already; try again in {after} s"
                raise Refusal(429, "busy", what, code="queue_full", retry_after=after)
            place = Place(self, asyncio.get_running_loop())
            self._places.add(place)
            return place

    def close(self) -> None:
        """Refuse what waits and what comes, and return when all that is being written has ended."""
        with self._changed:
            self._closing = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        for place in waiting:
            place._tell(closing())
        self._writing.join()
        self._preparing.shutdown(wait=False, cancel_futures=True)

    def _wait_seconds(self) -> int:
        rounds = len(self._places) / self._side_by_side
        return max(1, min(LONGEST_WAIT, math.ceil(rounds * self._seconds)))

    def _put(self, place: Place) -> None:
        with self._changed:
            if self._closing:
                raise closing()
            self._waiting.append(place)
            self._changed.notify()

    def _leave(self, place: Place) -> None:
        with self._changed:
            self._places.discard(place)
            with suppress(ValueError):
                self._waiting.remove(place)

    def _write(self) -> None:
        batch = self.engine.open_batch()
        written: dict[int, Place] = {}
        given = time.monotonic()
        while True:
            if time.monotonic() - given > GIVE_BACK_SECONDS:
                give_back()
                given = time.monotonic()
            with self._changed:
                while not self._waiting and not written and not self._closing:
                    self._changed.wait()
                if self._closing and not written:
                    return
                gone = [number for number, one in written.items() if one not in self._places]
                free = self._side_by_side - len(written) + len(gone)
                fresh = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
            try:
                for number in gone:
                    del written[number]
                    self._ended(batch.leave(number))
                for place in fresh:
                    self._begin(batch, place, written)
                self._step(batch, written)
            except Exception as error:  # the server goes on without those that it broke
                log.exception("what was being written is lost")
                batch.clear()
                for place in {*written.values(), *fresh}:
                    place._tell(Refusal(500, "broken", f"{type(error).__name__}: {error}"))
                written.clear()

    def _begin(self, batch: OpenBatch, place: Place, written: dict[int, Place]) -> None:
        assert place.plan is not None, "a place is put in the queue with its plan"
        place.began = time.monotonic()
        written[batch.join(place.plan)] = place
        place._tell(len(place.plan.prompt))

    def _step(self, batch: OpenBatch, written: dict[int, Place]) -> None:
        for number, event in batch.step():
            if isinstance(event, Commit):
                written[number]._tell(event)
            elif isinstance(event, Result | EngineError):
                place = written.pop(number)
                seconds = time.monotonic() - place.began
                self._seconds += WEIGHT * (seconds - self._seconds)
                if isinstance(event, Result | AnswerError):
                    self._ended(event.usage)
                self._leave(place)  # whoever reads slowly takes nobody's place
                place._tell(event)


class Place:
    """A request that was let in, until it leaves."""

    def __init__(self, queue: Queue, loop: asyncio.AbstractEventLoop) -> None:
        self.plan: Plan | None = None
        self.began = 0.0
        self._queue = queue
        self._loop = loop
        self._told: asyncio.Queue[Told] = asyncio.Queue()

    async def prepare(
        self,
        work: Callable[Given, Returned],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Returned:
        """Do work that may take long beside the engine's thread and this one's."""
        call = partial(work, *arguments, **named)
        try:
            return await self._loop.run_in_executor(self._queue._preparing, call)
        except (asyncio.CancelledError, RuntimeError):
            task = asyncio.current_task()
            if self._queue._closing and not (task and task.cancelling()):
                raise closing() from None  # the threads take no more work
            raise

    async def written(self, plan: Plan) -> AsyncGenerator[Told, None]:
        """What there is to tell of the turn, to its end. Raises `Refusal` or `EngineError` where it
        has none."""
        self.plan = plan
        self._queue._put(self)
        while True:
            told = await self._told.get()
            if isinstance(told, Refusal | EngineError):
                raise told
            yield told
            if isinstance(told, Result):
                return

    def leave(self) -> None:
        """Give the place up: what is being written for it is dropped at the next step."""
        self._queue._leave(self)

    def _tell(self, told: Told) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._told.put_nowait, told)


def closing() -> Refusal:
    """For whoever comes, or waits, while the server shuts down."""
    return Refusal(503, "closing", "the server is shutting down", retry_after=LONGEST_WAIT)
