"""Exact inference over one canvas, under one step's mean-field posterior.

The denoiser gives log-probabilities `logp[L, V]`, position by position. Restricted to the words
of an automaton this is a chain over its states, so the best word, joint samples and every
token's posterior are found exactly by forward–backward and Viterbi (arXiv 2505.23061, 2607.07026).

Edges are arrays, so every position is a few NumPy calls over all of them; only the positions are
a loop. Everything is in the log domain with finite sentinels: a token that the model finds
impossible weighs `FLOOR`, so a word of such tokens is still found when there is no other.

Letters: L canvas, V vocabulary, C classes, S sets of classes, Q states, E edges. The sink is
state Q.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import BudgetError
from .automaton import TokenAutomaton

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FLOOR = -1e4
"""The least log-probability of a token."""
NEVER = -1e30
"""The log-weight of what the automaton forbids."""
_ROWS = 8


@dataclass(frozen=True)
class Word:
    """The most probable word: its tokens [L] (padding after its end), the state before each
    position and after the last [L + 1], and how many positions are its own (its end token
    included; L when the word goes on in the next canvas)."""

    tokens: Tensor
    states: Tensor
    length: int


@dataclass(frozen=True)
class Posterior:
    """The step's distribution given that the canvas is (the beginning of) a word.

    `alpha` and `beta` are [L + 1, Q + 1], `log_z` the log-mass of all words, and `tokens` the
    log-posterior [L, V] of every token at every position.
    """

    alpha: Floats
    beta: Floats
    log_z: float
    tokens: Tensor


def viterbi(
    automaton: TokenAutomaton,
    logp: Tensor,
    start: int,
    tokens_left: int,
    *,
    score_tail: bool,
) -> Word:
    """The most probable word of the language from state `start`.

    `tokens_left` counts from the first position of this canvas to the end of the budget: a word
    (with its end token) is found inside it or, where the budget goes beyond the canvas, can still
    be finished within it. With `score_tail` the positions after the end weigh the model's
    log-probability of padding; without, nothing.

    Raises:
        BudgetError: no word fits in `tokens_left`.
    """
    table = logp.detach().to("cpu")
    classes = _class_maxima(automaton, table)
    weights = _over_sets(automaton, classes, np.maximum.reduceat)
    tail = _tail(automaton, table, score_tail=score_tail)
    beta = _backward(automaton, weights, tail, tokens_left, start, np.maximum.reduceat)
    length, state = len(table), start
    tokens = np.full(length, automaton.pad)
    states = np.full(length + 1, automaton.sink)
    own = length
    for place in range(length):
        states[place] = state
        if state == automaton.sink:
            own = min(own, place)
            continue
        first, last = automaton.edge_starts[state], automaton.edge_starts[state + 1]
        values = (
            weights[place, automaton.edge_set[first:last]]
            + beta[place + 1, automaton.target[first:last]]
        )
        edge = first + int(values.argmax())
        inside = automaton.set_members(int(automaton.edge_set[edge]))
        best = int(inside[classes[place, inside].argmax()])
        tokens[place] = _best_member(automaton, table[place], best)
        state = int(automaton.target[edge])
    states[length] = state
    return Word(torch.from_numpy(tokens), torch.from_numpy(states), own)


def posterior(
    automaton: TokenAutomaton,
    logp: Tensor,
    start: int,
    tokens_left: int,
    *,
    score_tail: bool,
) -> Posterior:
    """Forward–backward; see `viterbi` for the arguments and errors.

    After the end a token's posterior is padding's alone when the tail is scored, and the model's
    own when it is free.
    """
    table = _table(logp)
    classes = _class_masses(automaton, logp)
    weights = _over_sets(automaton, classes, _logsumexp_rows)
    tail = _tail(automaton, logp, score_tail=score_tail)
    beta = _backward(automaton, weights, tail, tokens_left, start, _logsumexp_at)
    alpha = _forward(automaton, weights, tail, start, tokens_left)
    length = len(table)
    log_z = float(beta[0, start])
    tokens = np.full(table.shape, NEVER)
    set_of = np.repeat(np.arange(automaton.sets), np.diff(automaton.set_starts))
    for place in range(length):
        values = alpha[place, automaton.source] + beta[place + 1, automaton.target]
        # what the sets of the edges weigh beside their own tokens, then the classes of the sets
        on_set = _scattered(automaton.edge_set, values, automaton.sets)
        on_class = _scattered(automaton.set_classes, on_set[set_of], automaton.classes)
        share = on_class - log_z
        members = automaton.members
        owner = automaton.token_class[members]
        tokens[place, members] = np.maximum(share[owner] + table[place, members], NEVER)
        sink = alpha[place, automaton.sink] + tail[place] + beta[place + 1, automaton.sink] - log_z
        if score_tail:
            pad = automaton.pad
            tokens[place, pad] = np.logaddexp(tokens[place, pad], sink)
        else:
            tokens[place] = np.logaddexp(tokens[place], sink + table[place])
    return Posterior(alpha, beta, log_z, torch.from_numpy(np.maximum(tokens, NEVER)))


def sample(
    automaton: TokenAutomaton,
    logp: Tensor,
    start: int,
    tokens_left: int,
    generator: torch.Generator,
    *,
    score_tail: bool,
) -> Tensor:
    """One joint sample [L] of the posterior: backward filtering, then a forward walk."""
    table = _table(logp)
    classes = _class_masses(automaton, logp)
    weights = _over_sets(automaton, classes, _logsumexp_rows)
    tail = _tail(automaton, logp, score_tail=score_tail)
    beta = _backward(automaton, weights, tail, tokens_left, start, _logsumexp_at)
    uniforms = torch.rand(3 * len(table), generator=generator).tolist()
    tokens, state = np.full(len(table), automaton.pad), start
    for place in range(len(table)):
        if state == automaton.sink:
            break
        first, last = automaton.edge_starts[state], automaton.edge_starts[state + 1]
        edge_sets = automaton.edge_set[first:last]
        values = weights[place, edge_sets] + beta[place + 1, automaton.target[first:last]]
        edge = first + _drawn(values, uniforms[3 * place])
        inside = automaton.set_members(int(automaton.edge_set[edge]))
        found = int(inside[_drawn(classes[place, inside], uniforms[3 * place + 1])])
        begin, stop = automaton.class_starts[found], automaton.class_starts[found + 1]
        members = automaton.members[begin:stop]
        tokens[place] = members[_drawn(table[place, members], uniforms[3 * place + 2])]
        state = int(automaton.target[edge])
    return torch.from_numpy(tokens)


def support(
    automaton: TokenAutomaton, length: int, start: int, tokens_left: int
) -> NDArray[np.bool_]:
    """Which classes [L, C] can stand at a position of some word, whatever the weights."""
    weights, tail = np.zeros((length, automaton.sets)), np.zeros(length)
    beta = _backward(automaton, weights, tail, tokens_left, start, np.maximum.reduceat)
    possible = np.zeros((length, automaton.classes), dtype=bool)
    reached = np.zeros(automaton.sink + 1, dtype=bool)
    reached[start] = True
    for place in range(length):
        alive = reached[automaton.source] & (beta[place + 1, automaton.target] > NEVER / 2)
        for one in np.unique(automaton.edge_set[alive]).tolist():
            possible[place, automaton.set_members(one)] = True
        following = np.zeros_like(reached)
        following[automaton.target[alive]] = True
        following[automaton.sink] |= reached[automaton.sink]
        reached = following
    return possible


def _table(logp: Tensor) -> Floats:
    """Log-probabilities as float64 with a floor; what is not a number weighs the floor too."""
    values = logp.detach().to("cpu", torch.float64).numpy()
    return np.maximum(np.nan_to_num(values, nan=FLOOR, neginf=FLOOR), FLOOR)


def _tail(automaton: TokenAutomaton, logp: Tensor, *, score_tail: bool) -> Floats:
    """The weight [L] of a position after the end."""
    if not score_tail:
        return np.zeros(len(logp))
    return _table(logp[:, automaton.pad])


def _class_maxima(automaton: TokenAutomaton, logp: Tensor) -> Floats:
    """The best member's weight of each class [L, C]."""
    return _over_classes(automaton, logp, torch.amax, np.fmax.reduceat)


def _class_masses(automaton: TokenAutomaton, logp: Tensor) -> Floats:
    """The log-mass of each class [L, C]."""
    return _over_classes(automaton, logp, torch.logsumexp, _logsumexp_rows)


def _over_classes(
    automaton: TokenAutomaton,
    logp: Tensor,
    reduce_all: Callable[..., Tensor],
    reduce_rows: Callable[..., Any],
) -> Floats:
    """The weight of each class [L, C]. The largest one is most of the vocabulary: it is reduced
    where it stands, a few rows at a time so that they stay in the processor's cache, and only the
    tokens of the others are gathered."""
    table = logp.detach().to("cpu", torch.float32)
    largest, bias, others, starts = automaton.largest
    outside = torch.from_numpy(bias)
    found = np.empty((len(table), automaton.classes))
    chunks = [reduce_all(rows + outside, 1) for rows in table.split(_ROWS)]
    found[:, largest] = torch.cat(chunks).numpy()
    if len(others):
        gathered = table[:, torch.from_numpy(others)].numpy()
        rest = np.arange(automaton.classes) != largest
        found[:, rest] = reduce_rows(np.maximum(gathered, 10 * FLOOR), starts, axis=1)
    if np.isnan(found).any():
        clean = torch.nan_to_num(table, nan=FLOOR, neginf=FLOOR)
        return _over_classes(automaton, clean, reduce_all, reduce_rows)
    return np.maximum(found, FLOOR)


def _over_sets(
    automaton: TokenAutomaton, classes: Floats, reduce_rows: Callable[..., Floats]
) -> Floats:
    """The weight of each set [L, S] from those of its classes [L, C]."""
    return reduce_rows(classes[:, automaton.set_classes], automaton.set_starts[:-1], axis=1)


def _logsumexp_rows(values: Floats, firsts: Integers, axis: int) -> Floats:
    """Log-sum-exp of consecutive runs of every row."""
    largest = np.maximum.reduceat(values, firsts, axis=axis)
    sizes = np.diff(np.append(firsts, values.shape[1]))
    values -= np.repeat(largest, sizes, axis=axis)
    return largest + np.log(np.add.reduceat(np.exp(values), firsts, axis=axis))


def _scattered(places: Integers, values: Floats, size: int) -> Floats:
    """Log-sum-exp [size] of the values that fall on each place; `NEVER` where none does."""
    largest = np.full(size, NEVER)
    np.maximum.at(largest, places, values)
    sums = np.bincount(places, np.exp(values - largest[places]), size)
    return np.where(sums > 0, largest + np.log(np.maximum(sums, 1e-300)), NEVER)


def _best_member(automaton: TokenAutomaton, row: Tensor, found: int) -> int:
    members = automaton.members[automaton.class_starts[found] : automaton.class_starts[found + 1]]
    weights = torch.nan_to_num(row[torch.from_numpy(members)], nan=-math.inf)
    return int(members[int(weights.argmax())])


def _logsumexp_at(values: Floats, firsts: NDArray[np.int64]) -> Floats:
    """Log-sum-exp of consecutive runs of values, each beginning at one of `firsts`."""
    largest = np.maximum.reduceat(values, firsts)
    sizes = np.diff(np.append(firsts, len(values)))
    sums = np.add.reduceat(np.exp(values - np.repeat(largest, sizes)), firsts)
    return largest + np.log(sums)


def _boundary(automaton: TokenAutomaton, length: int, tokens_left: int) -> Floats:
    """The weight [Q + 1] of the state after the canvas: only the sink where the budget ends in
    it, else also every state whose fewest tokens (and an end token) fit in what is left."""
    weight = np.full(automaton.sink + 1, NEVER)
    weight[:-1][automaton.distance[:-1] + 1 <= tokens_left - length] = 0.0
    weight[automaton.sink] = 0.0
    return weight


def _backward(
    automaton: TokenAutomaton,
    weights: Floats,
    tail: Floats,
    tokens_left: int,
    start: int,
    reduce_at: Callable[[Floats, Integers], Floats],
) -> Floats:
    """beta [L + 1, Q + 1]: the weight of all (or the best of) the ways on from a state."""
    length = len(weights)
    beta = np.empty((length + 1, automaton.sink + 1))
    beta[length] = _boundary(automaton, length, tokens_left)
    firsts = automaton.edge_starts[:-2]
    for place in range(length - 1, -1, -1):
        if place == tokens_left - 1:
            beta[place + 1, :-1] = NEVER
        values = weights[place, automaton.edge_set] + beta[place + 1, automaton.target]
        beta[place, :-1] = np.maximum(reduce_at(values, firsts), NEVER)
        beta[place, -1] = tail[place] + beta[place + 1, -1]
    if start != automaton.sink and beta[0, start] <= NEVER / 2:
        needed = int(automaton.distance[start]) + 1
        raise BudgetError(
            f"the shortest text that satisfies the constraint needs {needed} more tokens,"
            f" {tokens_left} are left"
        )
    return beta


def _forward(
    automaton: TokenAutomaton, weights: Floats, tail: Floats, start: int, tokens_left: int
) -> Floats:
    """alpha [L + 1, Q + 1]: the weight of all the ways to a state."""
    alpha = np.full((len(weights) + 1, automaton.sink + 1), NEVER)
    alpha[0, start] = 0.0
    order, firsts, targets = automaton.by_target
    for place in range(len(weights)):
        values = alpha[place, automaton.source] + weights[place, automaton.edge_set]
        arrived = np.maximum(_logsumexp_at(values[order], firsts), NEVER)
        alpha[place + 1, targets] = arrived
        stayed = max(alpha[place, -1] + tail[place], NEVER)
        alpha[place + 1, -1] = np.logaddexp(alpha[place + 1, -1], stayed)
        if place + 1 >= tokens_left:
            alpha[place + 1, :-1] = NEVER
    return alpha


def _drawn(values: Floats, uniform: float) -> int:
    """An index drawn with the odds exp(values)."""
    cumulative = np.cumsum(np.exp(values - values.max()))
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
