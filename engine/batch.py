"""Turns written side by side: whatever passes they wait for are run together.

Between any two steps a turn may join or leave; one that has ended is gone by itself, and the others
go on. What a pass takes is charged to its rows by their tokens, what a turn does for itself to the
turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from torch import Tensor

from .errors import EngineError
from .turn import Event, Turn
from .work import Model


class Batch:
    """Turns that are being written, each under its number."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._turns: dict[int, Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def join(self, number: int, turn: Turn) -> None:
        """From the next step on, write this turn too."""
        self._turns[number] = turn

    def leave(self, number: int) -> None:
        """Write this turn no further."""
        del self._turns[number]

    def step(self) -> Iterator[tuple[int, Event | EngineError]]:
        """Run the passes that the turns wait for, and let each go on until it waits again; yields
        their events, each with its turn's number. A turn that cannot be written ends with its
        error."""
        waiting = [number for number, turn in self._turns.items() if turn.asked]
        passes = self._run([self._turns[number] for number in waiting])
        found = dict(zip(waiting, passes, strict=True))
        for number, turn in list(self._turns.items()):
            try:
                for event in turn.go_on(found.get(number, [])):
                    yield number, event
            except EngineError as error:
                yield number, error
            if not turn.asked:
                del self._turns[number]

    def _run(self, turns: Sequence[Turn]) -> list[list[Tensor]]:
        """The states of every turn's passes."""
        if not turns:
            return []
        began = time.perf_counter()
        states = iter(self._model.run([one for turn in turns for one in turn.asked]))
        tokens = sum(len(one.tokens) for turn in turns for one in turn.asked)
        seconds = (time.perf_counter() - began) / tokens
        for turn in turns:
            for one in turn.asked:
                turn.charge(seconds * len(one.tokens), denoising=one.view.denoises)
        return [[next(states) for _ in turn.asked] for turn in turns]


def written(model: Model, turns: Sequence[Turn]) -> Iterator[tuple[int, Event | EngineError]]:
    """Write all turns to their ends; yields their events, each with its turn's number."""
    batch = Batch(model)
    for number, turn in enumerate(turns):
        batch.join(number, turn)
    while len(batch):
        yield from batch.step()
