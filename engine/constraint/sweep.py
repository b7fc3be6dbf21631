"""One pass over the positions of several chains at once.

A chain's states are vectors of log-weights; a step gives every state the best, or the log-sum, of
its edges. Chains of different automata lie side by side as the disjoint union of their states,
edges and sets, so a batch is one larger automaton and the work of a step is that of its edges, with
nothing to pad; one that is over sooner goes on under weights that nobody reads. Only the positions
are a loop.

In the log domain and in float32: on a total of some thousand nats, which a canvas that is all noise
has, a step rounds by about 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels import launches_on
from .masses import NEGLIGIBLE
from .tables import Links, Runs

NEVER = -1e30
"""The log-weight of what the automaton forbids."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """A pass of one chain, its positions in the order in which the pass meets them."""

    links: Links
    weights: Tensor  # [T, S + 1] of each set at each position
    first: Tensor  # [Q + 1] of each state before the first step


@dataclass(frozen=True, eq=False)
class Union:
    """Several sweeps side by side: Q, E and S are sums over them, T is the longest one's."""

    links: Links
    weights: Tensor  # [T, S]
    first: Tensor  # [Q]
    bounds: tuple[int, ...]  # [B + 1] the first state of each sweep, and the number of states

    @classmethod
    def of(cls, sweeps: Sequence[Sweep]) -> Union:
        """Renumber the states, edges and sets of all but the first sweep."""
        owner, starts, other, sets = [], [], [], []
        states = edges = all_sets = 0
        bounds = [0]
        for sweep in sweeps:
            links = sweep.links
            owner.append(links.own.owner + states)
            starts.append(links.own.starts[:-1] + edges)
            other.append(links.other + states)
            sets.append(links.sets + all_sets)
            states += len(sweep.first)
            edges += len(links.other)
            all_sets += sweep.weights.shape[1]
            bounds.append(states)
        starts.append(torch.tensor([edges], device=starts[0].device))
        longest = max(len(sweep.weights) for sweep in sweeps)
        weights = [
            torch.nn.functional.pad(sweep.weights, (0, 0, 0, longest - len(sweep.weights)))
            for sweep in sweeps
        ]
        own = Runs(torch.cat(owner), torch.cat(starts))
        links = Links(own, torch.cat(other), torch.cat(sets))
        first = torch.cat([sweep.first for sweep in sweeps])
        return cls(links, torch.cat(weights, 1), first, tuple(bounds))


def swept(sweeps: Sequence[Sweep], *, sums: bool) -> list[Tensor]:
    """The states [T + 1, Q + 1] of each sweep before its first step and after every one: the best
    way's weight, or with `sums` the log-sum of all."""
    union = Union.of(sweeps)
    vectors = stepper(union.first.device)(union, sums=sums)
    return [
        vectors[: len(sweep.weights) + 1, first:last]
        for sweep, first, last in zip(sweeps, union.bounds[:-1], union.bounds[1:], strict=True)
    ]


def stepper(device: torch.device) -> Callable[..., Tensor]:
    """What takes the steps on a device: one Triton program for each chain where there is a GPU
    and Triton, else a few tensor operations for each position."""
    if launches_on(device):
        from .kernel import stepped

        return stepped
    return stepped_plainly


def stepped_plainly(union: Union, *, sums: bool) -> Tensor:
    """The states [T + 1, Q] of a union before its first step and after every one."""
    links, weights = union.links, union.weights
    vectors = union.first.new_empty(len(weights) + 1, len(union.first))
    vectors[0] = union.first
    for before, row, after in zip(vectors, weights, vectors[1:], strict=False):
        values = row.index_select(0, links.sets).add_(before.index_select(0, links.other))
        found = _reduced(values, "max", links.own)
        if sums:
            scaled = values.sub_(found.index_select(0, links.own.owner))
            scaled.clamp_(min=NEGLIGIBLE).exp_()
            found += _reduced(scaled, "sum", links.own).log_()
        torch.clamp(found, min=NEVER, out=after)
    return vectors


def _reduced(values: Tensor, how: str, runs: Runs) -> Tensor:
    # `unsafe` leaves out a check of the offsets, which takes as long as the reduction
    return torch.segment_reduce(values, how, offsets=runs.starts, unsafe=True)
