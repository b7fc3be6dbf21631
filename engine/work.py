"""Work that needs the model: a generator that asks for passes and is sent their states.

What else it yields is for whoever watches. So a row of a batch is written as one that is alone, and
the passes of all rows are run together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from .views import Pass

Seen = TypeVar("Seen")
Shown = TypeVar("Shown")
Left = TypeVar("Left")
Work = Generator[list[Pass] | Seen, list[Tensor], Left]
"""Yields lists of passes, to be sent the states of each, and what there is to see."""


class Model(Protocol):
    """What runs passes, whatever its family: those of several rows at once, each as if it were
    alone. Returns the normalised last states of each pass, [T, D] of the tokens wanted."""

    @property
    def device(self) -> torch.device: ...

    def run(self, passes: Sequence[Pass]) -> list[Tensor]: ...


def go_on(work: Work[Seen, Left], states: list[Tensor]) -> list[Pass] | Seen:
    """Send the states of what was asked for, none when it was nothing."""
    return work.send(states) if states else next(work)


def shown(work: Work[Seen, Left], show: Callable[[Seen], Shown]) -> Work[Shown, Left]:
    """The same work with something else to see."""
    states: list[Tensor] = []
    while True:
        try:
            found = go_on(work, states)
        except StopIteration as end:
            return end.value
        states = (yield found if isinstance(found, list) else show(found)) or []


def alone(model: Model, work: Work[Seen, object]) -> Iterator[Seen]:
    """Do work by itself; yields what there is to see."""
    states: list[Tensor] = []
    while True:
        try:
            found = go_on(work, states)
        except StopIteration:
            return
        states = model.run(found) if isinstance(found, list) else []
        if not isinstance(found, list):
            yield found
