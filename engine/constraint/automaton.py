"""A constraint's language over the tokens of one vocabulary.

Every token leads from a state to a state, by its bytes or, for a control token, by its symbol.
Tokens that lead alike from everywhere share a class. After a final state any of the vocabulary's
end tokens leads to the sink, where every token is free.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import ConstraintError
from ..vocabulary import Vocabulary
from .constraint import Constraint
from .regular import BYTES, Dfa

Integers = NDArray[np.int64]
_CACHE_SIZE = 64


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """States 0 to `sink`, edges sorted by source, and tokens sorted by class.

    `members[class_starts[c]:class_starts[c + 1]]` are the tokens of class `c`. No edge leaves the
    sink. `distance[q]` is the fewest tokens from `q` to a final state, its end token not counted.
    """

    start: int
    sink: int
    token_class: Integers  # [V], -1 for tokens that lead nowhere
    members: Integers  # [usable tokens]
    class_starts: Integers  # [C + 1]
    source: Integers  # [E]
    edge_class: Integers  # [E]
    target: Integers  # [E]
    edge_starts: Integers  # [Q + 1] first edge of each state; the last state is the sink
    distance: Integers  # [Q], 0 for final states; -1 for the sink
    pad: int

    @property
    def states(self) -> int:
        """The number of states without the sink."""
        return self.sink

    @property
    def classes(self) -> int:
        """The number of token classes that have an edge."""
        return len(self.class_starts) - 1

    def advance(self, state: int, token: int) -> int:
        """The state after a token, or -1 when it may not stand here."""
        if state == self.sink:
            return self.sink
        wanted = self.token_class[token]
        first, last = self.edge_starts[state], self.edge_starts[state + 1]
        found = np.flatnonzero(self.edge_class[first:last] == wanted)
        return int(self.target[first + found[0]]) if wanted >= 0 and len(found) else -1

    def allowed(self, state: int, tokens_left: int) -> NDArray[np.bool_]:
        """Which tokens [V] may follow a state so that a word can still be finished in
        `tokens_left` tokens, the next one counted."""
        if state == self.sink:
            return np.ones(len(self.token_class), dtype=bool)
        first, last = self.edge_starts[state], self.edge_starts[state + 1]
        targets = self.target[first:last]
        in_time = self.distance[targets] + 2 <= tokens_left
        in_time[targets == self.sink] = True
        usable = np.zeros(self.classes + 1, dtype=bool)  # the last one is for class -1
        usable[self.edge_class[first:last][in_time]] = True
        return usable[self.token_class]

    @cached_property
    def by_target(self) -> tuple[Integers, Integers, Integers]:
        """Edges in order of their target: the order, each target's first place, the targets."""
        order = np.argsort(self.target, kind="stable")
        targets, firsts = np.unique(self.target[order], return_index=True)
        return order, firsts, targets

    @cached_property
    def by_class(self) -> tuple[Integers, Integers, Integers]:
        """Edges in order of their class: the order, each class's first place, the classes."""
        order = np.argsort(self.edge_class, kind="stable")
        classes, firsts = np.unique(self.edge_class[order], return_index=True)
        return order, firsts, classes


_compiled: OrderedDict[tuple[int, str], tuple[Constraint, TokenAutomaton]] = OrderedDict()


def compile_automaton(constraint: Constraint, vocabulary: Vocabulary) -> TokenAutomaton:
    """Lift a constraint to a vocabulary; the last few results are kept.

    Raises:
        ConstraintError: the language names a control token that the vocabulary does not have, or
            no sequence of its tokens spells any text of the language.
    """
    key = (id(constraint), vocabulary.fingerprint)
    if key in _compiled:
        _compiled.move_to_end(key)
        return _compiled[key][1]
    automaton = _lift(constraint.dfa, vocabulary)
    _compiled[key] = (constraint, automaton)  # the constraint is kept, so its id stays its own
    if len(_compiled) > _CACHE_SIZE:
        _compiled.popitem(last=False)
    return automaton


def _lift(dfa: Dfa, vocabulary: Vocabulary) -> TokenAutomaton:
    moves = _token_moves(dfa, vocabulary)  # [Q, V]
    states = len(moves)
    moves[np.ix_(np.flatnonzero(dfa.final), np.array(vocabulary.ends))] = states
    distance = _distances(moves, dfa.final)
    if distance[dfa.start] < 0:
        raise ConstraintError("the vocabulary has no tokens that spell any text of this constraint")
    alive = distance >= 0
    moves[:, :] = np.where((moves >= 0) & np.append(alive, True)[moves], moves, -1)
    renumbered = np.append(np.where(alive, np.cumsum(alive) - 1, -1), alive.sum())
    moves = np.where(moves >= 0, renumbered[moves], -1)[alive]
    token_class, representatives = _classes(moves)
    source, edge_class = np.nonzero(moves[:, representatives] >= 0)
    target = moves[:, representatives][source, edge_class]
    members = np.argsort(token_class, kind="stable")
    members = members[token_class[members] >= 0]
    count = len(representatives)
    return TokenAutomaton(
        start=int(renumbered[dfa.start]),
        sink=int(alive.sum()),
        token_class=token_class,
        members=members,
        class_starts=np.searchsorted(token_class[members], np.arange(count + 1)),
        source=source,
        edge_class=edge_class,
        target=target.astype(np.int64),
        edge_starts=np.searchsorted(source, np.arange(int(alive.sum()) + 2)),
        distance=np.append(distance[alive], -1),
        pad=vocabulary.pad,
    )


def _token_moves(dfa: Dfa, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """The state after each token from each state [Q, V], or -1; all tokens walk byte by byte."""
    states, size = len(dfa.final), len(vocabulary)
    dead = states
    table = np.vstack([dfa.table, np.full(dfa.table.shape[1], -1, np.int32)])
    table = np.where(table < 0, dead, table).astype(np.int32)
    moves = np.full((states, size), dead, dtype=np.int32)
    spelled = sorted(
        (index for index, text in enumerate(vocabulary.tokens) if text),
        key=lambda index: -len(vocabulary.tokens[index] or b""),
    )
    if spelled:
        texts = [vocabulary.tokens[index] or b"" for index in spelled]
        lengths = np.array([len(text) for text in texts])
        letters = np.zeros((len(texts), int(lengths[0])), dtype=np.int64)
        for row, text in enumerate(texts):
            letters[row, : len(text)] = np.frombuffer(text, dtype=np.uint8)
        walked = np.repeat(np.arange(states, dtype=np.int32)[:, None], len(texts), axis=1)
        for place in range(letters.shape[1]):
            active = int(np.searchsorted(-lengths, -place))  # tokens longer than `place`
            walked[:, :active] = table[walked[:, :active], letters[:active, place]]
        moves[:, spelled] = walked
    for symbol, name in enumerate(dfa.controls, start=BYTES):
        if name not in vocabulary.controls:
            raise ConstraintError(
                f"this model has no control token {name}: it cannot write this constraint's form"
            )
        moves[:, vocabulary.controls[name]] = table[:-1, symbol]
    return np.where(moves == dead, -1, moves)


def _distances(moves: NDArray[np.int32], final: NDArray[np.bool_]) -> Integers:
    """Fewest tokens from each state to a final one, -1 where there is no way."""
    states = len(final)
    before: list[list[int]] = [[] for _ in range(states)]
    for state, row in enumerate(moves):
        for target in np.unique(row).tolist():
            if 0 <= target < states:
                before[target].append(state)
    distance = np.where(final, 0, -1).astype(np.int64)
    waiting = deque(np.flatnonzero(final).tolist())
    while waiting:
        state = waiting.popleft()
        for source in before[state]:
            if distance[source] < 0:
                distance[source] = distance[state] + 1
                waiting.append(source)
    return distance


def _classes(moves: NDArray[np.int64]) -> tuple[Integers, Integers]:
    """The class of each token, -1 for those that lead nowhere, and one token of each class.

    Columns are compared by a random 64-bit fingerprint: two that differ collide with a chance of
    2^-64.
    """
    weights = np.random.default_rng(0).integers(1, 2**63, size=len(moves), dtype=np.uint64)
    with np.errstate(over="ignore"):
        prints = ((moves + 1).astype(np.uint64) * weights[:, None]).sum(axis=0, dtype=np.uint64)
    usable = (moves >= 0).any(axis=0)
    kept = np.flatnonzero(usable)
    _, firsts, inverse = np.unique(prints[kept], return_index=True, return_inverse=True)
    token_class = np.full(moves.shape[1], -1, dtype=np.int64)
    token_class[kept] = inverse
    return token_class, kept[firsts]
