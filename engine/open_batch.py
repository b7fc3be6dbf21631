"""A batch that stays open: turns join it and leave it while others are written.

It belongs to one thread, which is the engine's while any turn is in it. What was drawn between two
turns' ends is shared by those that were written meanwhile, by the seconds that each was charged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import torch

from .batch import Batch
from .energy import Energy, EnergyMeter
from .errors import AnswerError, EngineError
from .plan import Plan
from .request import Result, Usage
from .turn import Event, Turn
from .work import Model


class OpenBatch:
    """`Engine.open_batch` makes one."""

    def __init__(
        self,
        model: Model,
        begin: Callable[[Sequence[Plan]], list[Turn]],
        meter: EnergyMeter,
        turn: threading.Lock,
    ) -> None:
        """`begin` makes a turn of each plan; `turn` is held while there is something to write."""
        self._model = model
        self._batch = Batch(model)
        self._begin = begin
        self._meter = meter
        self._turn = turn
        self._numbers = count()
        self._shares: dict[int, _Share] = {}

    def __len__(self) -> int:
        return len(self._batch)

    def join(self, plan: Plan) -> int:
        """From the next step on, write this too; the number that its events bear. While another
        caller has the engine, this waits."""
        if not self._shares:
            self._turn.acquire()
            self._meter.start()
        number = next(self._numbers)
        try:
            with torch.inference_mode():
                (turn,) = self._begin([plan])
        except BaseException:
            self._release()
            raise
        self._batch.join(number, turn)
        self._shares[number] = _Share(turn)
        return number

    def leave(self, number: int) -> Usage:
        """Write this no further: it has no result, and no more events. What it took."""
        self._batch.leave(number)
        self._share()
        share = self._shares.pop(number)
        self._release()
        return share.usage_of(share.turn.usage)

    def step(self) -> list[tuple[int, Event | EngineError]]:
        """Write everything on by one pass of the model; what there is to see, each with its number.
        The last event of each is its result or error."""
        with torch.inference_mode():
            found = list(self._batch.step())
        if any(isinstance(event, Result | EngineError) for _, event in found):
            self._share()
            found = [(number, self._with_energy(number, event)) for number, event in found]
            self._release()
        return found

    def clear(self) -> None:
        """Write none of it any further, also where a step failed half-way."""
        if self._shares:
            self._batch = Batch(self._model)
            self._shares.clear()
            self._release()

    def _with_energy(self, number: int, event: Event | EngineError) -> Event | EngineError:
        if not isinstance(event, Result | EngineError):
            return event
        share = self._shares.pop(number)
        if isinstance(event, Result):
            return replace(event, usage=share.usage_of(event.usage))
        if isinstance(event, AnswerError):
            event.usage = share.usage_of(event.usage)
        return event

    def _share(self) -> None:
        """Share what was drawn until now, and go on measuring."""
        drawn = self._meter.stop()
        self._meter.start()
        fresh = [share.turn.seconds - share.counted for share in self._shares.values()]
        whole = sum(fresh)
        for share, seconds in zip(self._shares.values(), fresh, strict=True):
            share.take(drawn, seconds / whole if whole else 0.0)

    def _release(self) -> None:
        if not self._shares:
            self._meter.stop()
            self._turn.release()


class _Share:
    """What a turn has drawn so far, and the seconds of it that this is for."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.counted = 0.0
        self._energy = Energy(0.0, "unknown")

    def take(self, drawn: Energy, share: float) -> None:
        self.counted = self.turn.seconds
        if drawn.joules is None or self._energy.joules is None:
            self._energy = Energy(None, "unknown")
        else:
            self._energy = Energy(self._energy.joules + drawn.joules * share, drawn.source)

    def usage_of(self, usage: Usage) -> Usage:
        """The turn's usage, with its energy."""
        return replace(usage, joules=self._energy.joules, energy=self._energy.source)
