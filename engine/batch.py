"""Turns written side by side: whatever passes they wait for are run together.

What a pass takes is charged to its rows by their tokens, what a turn does for itself to the turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .capacity import out_of_memory
from .errors import CapacityError
from .model import DiffusionGemma
from .turn import Event, Turn


def advance(
    model: DiffusionGemma, turns: Sequence[Turn]
) -> Iterator[tuple[Turn, Event | Exception]]:
    """Run the passes that turns wait for, and let each go on until it waits again; yields their
    events. What a turn breaks by ends it and no other; where memory runs out, the last one ends."""
    waiting = [turn for turn in turns if turn.asked]
    states: dict[Turn, list[Tensor]] = {}
    while waiting and not states:
        try:
            states = _run(model, waiting)
        except Exception as error:
            if not out_of_memory(error):
                raise
            last = waiting.pop()
            last.give_up()
            yield last, explained(model, error)
    for turn in turns:
        if turn in states or turn.is_fresh:
            try:
                for event in turn.go_on(states.pop(turn, [])):
                    yield turn, event
            except Exception as error:
                yield turn, explained(model, error)


def _run(model: DiffusionGemma, turns: Sequence[Turn]) -> dict[Turn, list[Tensor]]:
    """The states of every turn's passes."""
    began = time.perf_counter()
    states = iter(model.run([one for turn in turns for one in turn.asked]))
    tokens = sum(len(one.tokens) for turn in turns for one in turn.asked)
    seconds = (time.perf_counter() - began) / tokens
    for turn in turns:
        for one in turn.asked:
            turn.charge(seconds * len(one.tokens), denoising=one.view.denoises)
    return {turn: [next(states) for _ in turn.asked] for turn in turns}


def explained(model: DiffusionGemma, error: Exception) -> Exception:
    """What is told of an error; where memory ran out, what is kept for later is given back."""
    if not out_of_memory(error):
        return error
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return CapacityError(
        f"{model.device}: its memory is used up, by other programs or by what is written beside"
        " this; ask again later, for fewer tokens, or with fewer turns side by side"
    )
