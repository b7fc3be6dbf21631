"""Exact inference over canvases, each under one step's mean-field posterior.

The denoiser gives log-probabilities `logp[L, V]`, position by position. Restricted to the words
of an automaton this is a chain over its states, so the best word, joint samples and every
token's posterior are found exactly by forward–backward and Viterbi (arXiv 2505.23061, 2607.07026).

What weighs a whole vocabulary (`masses`) and the passes over all edges (`sweep`) run where the
log-probabilities are, for all canvases at once; the walk along the states that a word takes is a
few numbers at a time, and runs on the CPU. A token that the model finds impossible has a least
weight, so a word of such tokens is still found when there is no other.

Letters: L canvas, H horizon (the positions that the budget reaches), V vocabulary, C classes, S
sets of classes, Q states, E edges, N samples. The sink is state Q, and set S is its own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import BudgetError
from .automaton import TokenAutomaton
from .masses import (
    NEGLIGIBLE,
    Reduce,
    best_tokens,
    class_masses,
    class_maxima,
    drawn_tokens,
    log_sums,
    maxima,
    set_weights,
    tail_weights,
    token_weights,
)
from .sweep import NEVER, Sweep, swept
from .tables import Tables

if TYPE_CHECKING:
    from ..kernels.scores import Scores

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]
_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Chain:
    """A canvas under its language: log-probabilities [L, V] and the state before the first.

    `tokens_left` counts from the first position of this canvas to the end of the budget: a word
    (with its end token) is found inside it or, where the budget goes beyond the canvas, can still
    be finished within it. With `score_tail` the positions after the end weigh the model's
    log-probability of padding; without, nothing.

    Raises:
        BudgetError: no word fits in `tokens_left`.
    """

    automaton: TokenAutomaton
    logp: Tensor | Scores
    start: int
    tokens_left: int
    score_tail: bool

    def __post_init__(self) -> None:
        needed = int(self.automaton.distance[self.start]) + 1
        if self.start != self.automaton.sink and needed > self.tokens_left:
            raise BudgetError(
                f"the shortest text that satisfies the constraint needs {needed} more tokens,"
                f" {self.tokens_left} are left"
            )

    @property
    def length(self) -> int:
        """The canvas's positions."""
        return len(self.logp)

    @property
    def horizon(self) -> int:
        """The positions in which a word may still go on; behind them all have ended."""
        return min(self.length, self.tokens_left)

    @property
    def tables(self) -> Tables:
        """The automaton where the log-probabilities are."""
        return self.automaton.on(self.logp.device)


@dataclass(frozen=True)
class Word:
    """The most probable word: its tokens [L] (padding after its end), the state before each
    position and after the last [L + 1], and how many positions are its own (its end token
    included; L when the word goes on in the next canvas). On the CPU."""

    tokens: Tensor
    states: Tensor
    length: int


@dataclass(frozen=True, eq=False)
class Posterior:
    """The step's distribution given that the canvas is (the beginning of) a word: the log-mass of
    all words, the log-weight [L, C + 1] that each class's tokens gain over what the model gives
    them (the last for tokens that lead nowhere), and that of a position after the end [L]."""

    log_z: float
    gains: Tensor
    ended: Tensor
    chain: Chain

    @cached_property
    def tokens(self) -> Tensor:
        """The log-posterior [L, V] of every token. After the end it is padding's alone when the
        tail is scored, and the model's own when it is free."""
        tokens = token_weights(self.chain.tables, self.gains, self.chain.logp.float())
        if self.chain.score_tail:
            pad = self.chain.automaton.pad
            tokens[:, pad] = torch.logaddexp(tokens[:, pad], self.ended)
        return tokens


def viterbi(chains: Sequence[Chain]) -> list[Word]:
    """The most probable word of each canvas's language."""
    found = _weighed(chains, class_maxima, maxima)
    betas = _backward(chains, [weights for _, weights in found], sums=False)
    return [
        _word(chain, classes, weights, beta)
        for chain, (classes, weights), beta in zip(chains, found, betas, strict=True)
    ]


def posterior(chains: Sequence[Chain]) -> list[Posterior]:
    """Forward–backward."""
    weights = [weights for _, weights in _weighed(chains, class_masses, log_sums)]
    # both directions in one pass: neither waits for the other
    passes = swept(
        [
            *map(_from_behind, chains, weights),
            *(
                Sweep(chain.tables.forward, own, _only(chain.start, chain))
                for chain, own in zip(chains, weights, strict=True)
            ),
        ],
        sums=True,
    )
    betas = [beta.flip(0) for beta in passes[: len(chains)]]
    return list(map(_joined, chains, weights, passes[len(chains) :], betas))


def sample(chains: Sequence[Chain], generator: torch.Generator, count: int) -> list[Tensor]:
    """Joint samples [N, L] of each posterior: backward filtering, then a forward walk."""
    found = _weighed(chains, class_masses, log_sums)
    betas = _backward(chains, [weights for _, weights in found], sums=True)
    return [
        _samples(chain, classes, weights, beta, generator, count)
        for chain, (classes, weights), beta in zip(chains, found, betas, strict=True)
    ]


def support(
    automaton: TokenAutomaton, length: int, start: int, tokens_left: int
) -> NDArray[np.bool_]:
    """Which classes [L, C] can stand at a position of some word, whatever the weights.

    Raises:
        BudgetError: no word fits in `tokens_left`.
    """
    chain = Chain(automaton, torch.zeros(length, 0), start, tokens_left, score_tail=False)
    weights = torch.zeros(chain.horizon, automaton.sets + 1)
    beta = _backward([chain], [weights], sums=False)[0].numpy()
    possible = np.zeros((length, automaton.classes), dtype=bool)
    reached = np.zeros(automaton.sink + 1, dtype=bool)
    reached[start] = True
    for place in range(chain.horizon):
        alive = reached[automaton.source] & (beta[place + 1, automaton.target] > NEVER / 2)
        for one in np.unique(automaton.edge_set[alive]).tolist():
            possible[place, automaton.set_members(one)] = True
        reached = np.zeros_like(reached)
        reached[automaton.target[alive]] = True
    return possible


def _weighed(
    chains: Sequence[Chain], weigh: Callable[[Tables, Tensor | Scores], Tensor], reduce: Reduce
) -> list[tuple[Tensor, Tensor]]:
    """The weights of each chain's classes [H, C] and sets [H, S + 1]."""
    found = []
    for chain in chains:
        logp = chain.logp[: chain.horizon]
        classes = weigh(chain.tables, logp)
        tail = tail_weights(chain.automaton.pad, logp, score_tail=chain.score_tail)
        found.append((classes, set_weights(chain.tables, classes, tail, reduce)))
    return found


def _backward(chains: Sequence[Chain], weights: Sequence[Tensor], *, sums: bool) -> list[Tensor]:
    """beta [H + 1, Q + 1]: the weight of all (or the best of) the ways on from a state."""
    sweeps = list(map(_from_behind, chains, weights))
    return [beta.flip(0) for beta in swept(sweeps, sums=sums)]


def _from_behind(chain: Chain, weights: Tensor) -> Sweep:
    return Sweep(chain.tables.backward, weights.flip(0), _boundary(chain))


def _boundary(chain: Chain) -> Tensor:
    """The weight [Q + 1] of the state behind the horizon: only the sink where the budget ends
    there, else also every state whose fewest tokens (and an end token) fit in what is left."""
    automaton = chain.automaton
    fitting = automaton.distance + 1 <= chain.tokens_left - chain.horizon
    fitting[automaton.sink] = True
    return torch.from_numpy(np.where(fitting, 0.0, NEVER)).to(chain.logp.device, torch.float32)


def _only(state: int, chain: Chain) -> Tensor:
    weight = torch.full((chain.automaton.sink + 1,), NEVER, device=chain.logp.device)
    weight[state] = 0.0
    return weight


def _joined(chain: Chain, weights: Tensor, alpha: Tensor, beta: Tensor) -> Posterior:
    tables, horizon = chain.tables, chain.horizon
    source, target, runs = tables.on_set
    ways = alpha[:-1].index_select(1, source).add_(beta[1:].index_select(1, target))
    on_set = log_sums(ways, runs)
    # the mass of all words, found at each position anew: so no rounding along the chain is left
    on_set -= (on_set + weights).logsumexp(1, keepdim=True)
    on_class = log_sums(on_set.index_select(1, tables.class_sets), tables.class_runs)
    gains = torch.full((chain.length, tables.classes + 1), NEVER, device=weights.device)
    gains[:horizon, :-1] = on_class.clamp_(min=NEVER)
    ended = torch.zeros(chain.length, device=weights.device)
    ended[:horizon] = (on_set + weights)[:, -1]
    if not chain.score_tail:
        gains = torch.logaddexp(gains, ended[:, None])
    behind = tail_weights(chain.automaton.pad, chain.logp[horizon:], score_tail=chain.score_tail)
    log_z = float(beta[0, chain.start] + behind.sum())
    return Posterior(log_z, gains, ended, chain)


def _word(chain: Chain, classes: Tensor, weights: Tensor, beta: Tensor) -> Word:
    automaton = chain.automaton
    states, sets = _walked(chain, weights, beta, 1, lambda values, _: values.argmax(1))
    own = int((sets[0] < automaton.sets).sum())
    table, chosen = classes.cpu().numpy(), []
    for place, one in enumerate(sets[0, :own].tolist()):
        inside = automaton.set_members(one)
        chosen.append(int(inside[table[place, inside].argmax()]))
    tokens = torch.full((chain.length,), automaton.pad)
    if own:
        tokens[:own] = best_tokens(chain.tables, chosen, chain.logp[:own]).cpu()
    return Word(tokens, torch.from_numpy(states[0]), own)


def _samples(
    chain: Chain,
    classes: Tensor,
    weights: Tensor,
    beta: Tensor,
    generator: torch.Generator,
    count: int,
) -> Tensor:
    tables, device = chain.tables, chain.logp.device
    uniforms = torch.rand(
        3, count, chain.horizon, generator=generator, device=generator.device
    ).double()
    on_edge = uniforms[0].cpu().numpy()

    def draw(values: Floats, place: int) -> Integers:
        odds = np.exp(values - values.max(1, keepdims=True), dtype=np.float64).cumsum(1)
        return (odds <= on_edge[:, place, None] * odds[:, -1:]).sum(1)

    _, sets = _walked(chain, weights, beta, count, draw)
    longest = int((sets < tables.sets).sum(1).max())
    chosen = torch.from_numpy(sets[:, :longest]).to(device)
    within, on_token = uniforms[1:, :, :longest].to(device)
    found = _drawn_classes(
        tables, chosen.clamp(max=tables.sets - 1), classes[:longest], weights[:longest], within
    )
    tokens = torch.full((count, chain.length), chain.automaton.pad, device=device)
    drawn = drawn_tokens(tables, found, chain.logp[:longest].float(), on_token)
    tokens[:, :longest] = drawn.where(chosen < tables.sets, tokens[:, :longest])
    return tokens


def _drawn_classes(
    tables: Tables, sets: Tensor, classes: Tensor, weights: Tensor, uniforms: Tensor
) -> Tensor:
    """Classes [N, H] of given sets [N, H], drawn by their masses [H, C] at `uniforms` [N, H]."""
    shares = classes.index_select(1, tables.set_classes)
    shares -= weights.index_select(1, tables.set_runs.owner)
    shares = shares.clamp_(min=NEGLIGIBLE).exp_().double()
    odds, starts = shares.cumsum(1), tables.set_runs.starts
    firsts, ends = starts[sets].T, starts[sets + 1].T  # [H, N]
    before = odds.gather(1, firsts) - shares.gather(1, firsts)
    wanted = before + uniforms.T * (odds.gather(1, ends - 1) - before)
    found = torch.searchsorted(odds, wanted.contiguous(), right=True)
    return tables.set_classes[found.clamp(firsts, ends - 1)].T.contiguous()


def _walked(
    chain: Chain,
    weights: Tensor,
    beta: Tensor,
    count: int,
    choose: Callable[[Floats, int], Integers],
) -> tuple[Integers, Integers]:
    """Walks from the start: their states [N, L + 1], and the sets [N, H] of the edges taken.
    `choose` picks, by the weights [N, D] of the ways on and the position, one of each row."""
    links = chain.automaton.on(_CPU).backward
    starts, targets, edge_sets = (
        array.numpy() for array in (links.own.starts, links.other, links.sets)
    )
    own, following = weights.cpu().numpy(), beta.cpu().numpy()
    choices = np.arange(np.diff(starts).max())
    states = np.full((count, chain.length + 1), chain.automaton.sink)
    sets = np.empty((count, chain.horizon), np.int64)
    state = np.full(count, chain.start)
    for place in range(chain.horizon):
        states[:, place] = state
        edges = starts[state][:, None] + choices
        there = edges < starts[state + 1][:, None]
        edges = np.minimum(edges, len(targets) - 1)
        values = own[place][edge_sets[edges]] + following[place + 1][targets[edges]]
        taken = starts[state] + choose(np.where(there, values, -np.inf), place)
        sets[:, place], state = edge_sets[taken], targets[taken]
    states[:, chain.horizon] = state
    return states, sets
