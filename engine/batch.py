"""Turns written side by side: whatever passes they wait for are run together.

A turn that has ended leaves; the others go on. What a pass takes is charged to its rows by their
tokens, what a turn does for itself to the turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from torch import Tensor

from .errors import EngineError
from .model import DiffusionGemma
from .turn import Event, Turn


def written(
    model: DiffusionGemma, turns: Sequence[Turn]
) -> Iterator[tuple[int, Event | EngineError]]:
    """Write all turns; yields their events, each with its turn's number. A turn that cannot be
    written ends with its error."""
    found: dict[int, list[Tensor]] = {number: [] for number in range(len(turns))}
    while found:
        waiting = []
        for number, states in found.items():
            try:
                for event in turns[number].go_on(states):
                    yield number, event
            except EngineError as error:
                yield number, error
            if turns[number].asked:
                waiting.append(number)
        passes = _run(model, [turns[number] for number in waiting])
        found = dict(zip(waiting, passes, strict=True))


def _run(model: DiffusionGemma, turns: Sequence[Turn]) -> list[list[Tensor]]:
    """The states of every turn's passes."""
    if not turns:
        return []
    began = time.perf_counter()
    states = iter(model.run([one for turn in turns for one in turn.asked]))
    tokens = sum(len(one.tokens) for turn in turns for one in turn.asked)
    seconds = (time.perf_counter() - began) / tokens
    for turn in turns:
        for one in turn.asked:
            turn.charge(seconds * len(one.tokens), denoising=one.view.denoises)
    return [[next(states) for _ in turn.asked] for turn in turns]
