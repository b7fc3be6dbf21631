"""A token automaton's arrays on one device, laid out for the passes of inference.

The sink's own loop is an edge like any other here: the last one, with a set of its own behind the
automaton's, which weighs what a position after the end does. So a pass knows states, edges and
sets, and nothing of ends.

Letters: V vocabulary, C classes, S sets (the sink's not counted), Q states (the sink not counted),
E edges (the sink's not counted).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from .automaton import TokenAutomaton


@dataclass(frozen=True, eq=False)
class Runs:
    """Consecutive runs of N places, each of one owner of M: those of `m` are from `starts[m]` to
    `starts[m + 1]`."""

    owner: Tensor  # [N] ascending
    starts: Tensor  # [M + 1]

    @classmethod
    def of(cls, owner: Tensor, count: int) -> Runs:
        """The runs of a sorted owner."""
        return cls(owner, torch.searchsorted(owner, torch.arange(count + 1, device=owner.device)))


@dataclass(frozen=True, eq=False)
class Links:
    """The edges in one direction, sorted by the state that they belong to."""

    own: Runs  # [E + 1] of Q + 1
    other: Tensor  # [E + 1] the state at the other end
    sets: Tensor  # [E + 1]

    @classmethod
    def of(cls, own: Tensor, other: Tensor, sets: Tensor, states: int) -> Links:
        """Edges in any order."""
        order = own.argsort(stable=True)
        return cls(Runs.of(own[order], states), other[order], sets[order])


@dataclass(frozen=True, eq=False)
class Tables:
    """An automaton on a device.

    The class with the most tokens is most of a vocabulary: it is kept apart, so that it can be
    reduced where it stands and only the tokens of the others are gathered.
    """

    classes: int
    sets: int
    largest: int  # the class with the most tokens
    largest_bias: Tensor  # [V] 0 for its tokens, -inf for all others
    largest_share: Tensor  # [V] 1 for its tokens, 0 for all others
    members: tuple[Tensor, ...]  # the tokens of each class
    others: Tensor  # [N] the tokens of all other classes
    others_runs: Runs  # [N] of C; the largest class has none
    token_class: Tensor  # [V] C for tokens that lead nowhere
    class_sizes: Tensor  # [C]
    set_classes: Tensor  # [K] the classes of all sets
    set_runs: Runs  # [K] of S
    class_sets: Tensor  # [K] the sets of all classes
    class_runs: Runs  # [K] of C
    backward: Links  # every state's edges to the states behind it
    forward: Links  # every state's edges from the states before it
    on_set: tuple[Tensor, Tensor, Runs]  # [E + 1] sources and targets, sorted by set; of S + 1

    @classmethod
    def of(cls, automaton: TokenAutomaton, device: torch.device) -> Tables:
        """The tables of an automaton; `TokenAutomaton.on` keeps them."""

        def moved(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        sink, sets, classes = automaton.sink, automaton.sets, automaton.classes
        sizes = np.diff(automaton.class_starts)
        largest = int(sizes.argmax())
        token_class = automaton.token_class
        inside = token_class == largest
        others = automaton.members[token_class[automaton.members] != largest]
        source = moved(np.append(automaton.source, sink))
        target = moved(np.append(automaton.target, sink))
        edge_set = moved(np.append(automaton.edge_set, sets))
        by_set = edge_set.argsort(stable=True)
        set_of = np.repeat(np.arange(sets), np.diff(automaton.set_starts))
        by_class = np.argsort(automaton.set_classes, kind="stable")
        return cls(
            classes=classes,
            sets=sets,
            largest=largest,
            largest_bias=moved(np.where(inside, 0.0, -np.inf)).float(),
            largest_share=moved(inside).float(),
            members=moved(automaton.members).split(sizes.tolist()),
            others=moved(others),
            others_runs=Runs.of(moved(token_class[others]), classes),
            token_class=moved(np.where(token_class < 0, classes, token_class)),
            class_sizes=moved(sizes),
            set_classes=moved(automaton.set_classes),
            set_runs=Runs.of(moved(set_of), sets),
            class_sets=moved(set_of[by_class]),
            class_runs=Runs.of(moved(automaton.set_classes[by_class]), classes),
            backward=Links.of(source, target, edge_set, sink + 1),
            forward=Links.of(target, source, edge_set, sink + 1),
            on_set=(source[by_set], target[by_set], Runs.of(edge_set[by_set], sets + 1)),
        )
