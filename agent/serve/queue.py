"""Requests that wait for the engine, and those that it writes side by side.

The engine lets those go that nobody waits for any more, and takes in the next ones
(`engine/scheduler.py`): of several clients' keys, each gets its share. What is slow before that (to
compile a schema) is done on threads of its own.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from ...engine import (
    AnswerError,
    Commit,
    Draft,
    Engine,
    EngineError,
    Plan,
    Result,
    Ticket,
    TurnCancelledError,
    Usage,
)
from .refusal import Refusal

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
    """As many requests as the engine writes at once are let in, and `most_waiting` more. `ended` is
    told what every turn took, also one that was given up, on the engine's thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        most_waiting: int,
        ended: Callable[[Usage], None] | None = None,
    ) -> None:
        self.engine = engine
        self._side_by_side = engine.scheduler.side_by_side
        self._most = self._side_by_side + most_waiting
        self._ended = ended or (lambda usage: None)
        self._changed = threading.Condition()
        self._places: set[Place] = set()
        self._closing = False
        self._seconds = GUESS_SECONDS
        self._preparing = ThreadPoolExecutor(PREPARERS, thread_name_prefix="prepare")

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
            waiting = [place for place in self._places if not place.is_begun]
        for place in waiting:
            place._tell(closing())
            self._leave(place)
        with self._changed:
            self._changed.wait_for(lambda: not self._places)
        self._preparing.shutdown(wait=False, cancel_futures=True)

    def _wait_seconds(self) -> int:
        rounds = len(self._places) / self._side_by_side
        return max(1, min(LONGEST_WAIT, math.ceil(rounds * self._seconds)))

    def _put(self, place: Place, plan: Plan) -> None:
        with self._changed:
            if self._closing:
                raise closing()
            place._ticket = self.engine.submit(plan, place._watch)
        place._ticket.outcome.add_done_callback(place._done)

    def _leave(self, place: Place) -> None:
        with self._changed:
            self._places.discard(place)
            self._changed.notify_all()
        if place._ticket is not None:
            place._ticket.cancel()

    def _end(self, place: Place, found: Result | BaseException, seconds: float) -> None:
        """Count what a turn took; whoever reads its answer slowly takes nobody's place."""
        if isinstance(found, Result):
            self._seconds += WEIGHT * (seconds - self._seconds)
        if isinstance(found, Result | AnswerError | TurnCancelledError) and found.usage != Usage():
            self._ended(found.usage)
        self._leave(place)


class Place:
    """A request that was let in, until it leaves."""

    def __init__(self, queue: Queue, loop: asyncio.AbstractEventLoop) -> None:
        self._queue = queue
        self._loop = loop
        self._told: asyncio.Queue[Told] = asyncio.Queue()
        self._ticket: Ticket | None = None
        self._prompt_tokens = 0
        self._began: float | None = None

    @property
    def is_begun(self) -> bool:
        """Whether the engine has begun to write for it."""
        return self._ticket is not None and self._ticket.turn is not None

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
        self._prompt_tokens = len(plan.prompt)
        self._queue._put(self, plan)
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

    # on the engine's thread

    def _watch(self, event: Draft | Commit) -> None:
        self._begin()
        if isinstance(event, Commit):
            self._tell(event)

    def _done(self, outcome: Future[Result]) -> None:
        found = outcome.exception() or outcome.result()
        began = self._begin() if isinstance(found, Result) else 0.0
        self._queue._end(self, found, time.monotonic() - began)
        if isinstance(found, Result | EngineError):
            self._tell(found)
        else:
            self._tell(Refusal(500, "broken", f"{type(found).__name__}: {found}"))

    def _begin(self) -> float:
        """When the first was seen of the turn: by now, or before."""
        if self._began is None:
            self._began = time.monotonic()
            self._tell(self._prompt_tokens)
        return self._began

    def _tell(self, told: Told) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._told.put_nowait, told)


def closing() -> Refusal:
    """For whoever comes, or waits, while the server shuts down."""
    return Refusal(503, "closing", "the server is shutting down", retry_after=LONGEST_WAIT)
