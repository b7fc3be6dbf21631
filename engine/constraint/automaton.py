"""A constraint's language over the tokens of one vocabulary.

Every token leads from a state to a state, by its bytes or, for a control token, by its symbol.
Tokens that lead alike from everywhere share a *class*; the classes that lead from one state to
another are the *set* of that edge, and edges with the same tokens share it, so that there is one
edge between two states however many tokens lead there. After a final state any of the vocabulary's
end tokens leads to the sink, where every token is free.

The lift walks the vocabulary's trie from all states at once, level by level. String bodies, in
which nearly every token may stand, are not walked: `bodies.py` has done so for the vocabulary.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ConstraintError
from ..vocabulary import Vocabulary
from .bodies import QUOTE_BYTE, moves_of
from .constraint import Constraint
from .dfa import BYTES, Dfa, Place
from .tables import Tables

Integers = NDArray[np.int64]
_CACHE_SIZE = 64


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """States 0 to `sink`, edges sorted by source, sets of classes, and tokens sorted by class.

    `members[class_starts[c]:class_starts[c + 1]]` are the tokens of class `c`, and
    `set_classes[set_starts[s]:set_starts[s + 1]]` the classes of set `s`. No edge leaves the sink.
    `distance[q]` is the fewest tokens from `q` to a final state, its end token not counted.
    """

    start: int
    sink: int
    token_class: Integers  # [V], -1 for tokens that lead nowhere
    members: Integers  # [usable tokens]
    class_starts: Integers  # [C + 1]
    set_classes: Integers  # [classes of all sets]
    set_starts: Integers  # [S + 1]
    source: Integers  # [E]
    edge_set: Integers  # [E]
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

    @property
    def sets(self) -> int:
        """The number of distinct sets of tokens on edges."""
        return len(self.set_starts) - 1

    def set_members(self, found: int) -> Integers:
        """The classes of a set, ascending."""
        return self.set_classes[self.set_starts[found] : self.set_starts[found + 1]]

    def advance(self, state: int, token: int) -> int:
        """The state after a token, or -1 when it may not stand here."""
        if state == self.sink:
            return self.sink
        wanted = self.token_class[token]
        if wanted >= 0:
            for edge in range(int(self.edge_starts[state]), int(self.edge_starts[state + 1])):
                classes = self.set_members(int(self.edge_set[edge]))
                place = int(np.searchsorted(classes, wanted))
                if place < len(classes) and classes[place] == wanted:
                    return int(self.target[edge])
        return -1

    def allowed(self, state: int, tokens_left: int) -> NDArray[np.bool_]:
        """Which tokens [V] may follow a state so that a word can still be finished in
        `tokens_left` tokens, the next one counted."""
        if state == self.sink:
            return np.ones(len(self.token_class), dtype=bool)
        usable = np.zeros(self.classes + 1, dtype=bool)  # the last one is for class -1
        for edge in range(int(self.edge_starts[state]), int(self.edge_starts[state + 1])):
            target = int(self.target[edge])
            if target == self.sink or self.distance[target] + 2 <= tokens_left:
                usable[self.set_members(int(self.edge_set[edge]))] = True
        return usable[self.token_class]

    def on(self, device: torch.device) -> Tables:
        """The arrays of inference on a device, moved there once."""
        if device not in self._tables:
            self._tables[device] = Tables.of(self, device)
        return self._tables[device]

    @cached_property
    def _tables(self) -> dict[torch.device, Tables]:
        return {}


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


@dataclass(frozen=True, eq=False)
class _Steps:
    """Single steps: from `source` [N] by the tokens of trie node `unit` [N] to `target` [N]. Units
    above the trie's nodes are control tokens."""

    source: Integers
    unit: Integers
    target: Integers


@dataclass(frozen=True, eq=False)
class _Runs:
    """Steps that many states share: from `source` [N] by every unit of run `run` [N] to `target`
    [N]; `units` are the runs' units."""

    source: Integers
    run: Integers
    target: Integers
    units: tuple[Integers, ...]


def _lift(dfa: Dfa, vocabulary: Vocabulary) -> TokenAutomaton:
    states = len(dfa.final)
    runs, seeds, walked = _body_moves(dfa, vocabulary)
    steps = _walk(dfa, vocabulary, seeds, walked)
    steps = _with_controls(dfa, vocabulary, steps, states)
    sources = np.concatenate([steps.source, runs.source])
    targets = np.concatenate([steps.target, runs.target])
    distance = _distances(sources, targets, states, dfa.final)
    reached = _reached(sources, targets, states + 1, dfa.start)
    if distance[dfa.start] < 0:
        raise ConstraintError("the vocabulary has no tokens that spell any text of this constraint")
    alive = np.append((distance >= 0) & reached[:-1], True)
    kept = alive[steps.source] & alive[steps.target]
    steps = _Steps(steps.source[kept], steps.unit[kept], steps.target[kept])
    kept = alive[runs.source] & alive[runs.target]
    runs = _Runs(runs.source[kept], runs.run[kept], runs.target[kept], runs.units)
    renumbered = np.cumsum(alive) - 1
    count = int(alive.sum()) - 1
    unit_class, classes = _classes(steps, runs, len(vocabulary.trie.ends) + len(vocabulary))
    edges = _edges(steps, runs, unit_class, states + 1)
    order = np.argsort(renumbered[edges.source], kind="stable")
    source = renumbered[edges.source][order]
    token_class = _token_classes(unit_class, vocabulary)
    members = np.argsort(token_class, kind="stable")
    members = members[token_class[members] >= 0]
    return TokenAutomaton(
        start=int(renumbered[dfa.start]),
        sink=count,
        token_class=token_class,
        members=members,
        class_starts=np.searchsorted(token_class[members], np.arange(classes + 1)),
        set_classes=edges.set_classes,
        set_starts=edges.set_starts,
        source=source,
        edge_set=edges.edge_set[order],
        target=renumbered[edges.target][order],
        edge_starts=np.searchsorted(source, np.arange(count + 2)),
        distance=np.append(distance[alive[:-1]], -1),
        pad=vocabulary.pad,
    )


def _body_moves(dfa: Dfa, vocabulary: Vocabulary) -> tuple[_Runs, _Steps, NDArray[np.bool_]]:
    """What string bodies do, shared by all their copies: the runs of tokens that stay inside, the
    places [source, trie node, state behind the quote] from which a walk goes on outside, and
    which states still have to be walked from the trie's root."""
    states = len(dfa.final)
    walked = np.ones(states, bool)
    where: dict[tuple[int, int, int], int] = {}
    behind: dict[int, int] = {}
    inside: list[tuple[int, Place]] = []
    for state, place in enumerate(dfa.places):
        if place is not None:
            inside.append((state, place))
            where[place.copy, place.count, place.inner] = state
            following = int(dfa.table[state, QUOTE_BYTE])
            quoted = place.body.closing == "quote" and place.body.dfa.final[place.inner]
            if quoted and following >= 0:
                behind[place.copy] = following
    numbers: dict[int, int] = {}
    units: list[Integers] = []
    edges: list[tuple[int, int, int]] = []
    seeds: list[tuple[Integers, Integers, Integers]] = []
    for state, place in inside:
        walked[state] = False
        body = place.body
        moves = moves_of(body, vocabulary)
        least, most = body.counted or (0, None)
        for run in moves.by_inner.get(place.inner, ()):
            count = place.count + run.characters
            if most is None:
                count = min(count, least)
            target = where.get((place.copy, count, run.to), -1)
            if target >= 0:
                if id(run) not in numbers:
                    numbers[id(run)] = len(units)
                    units.append(run.nodes)
                edges.append((state, numbers[id(run)], target))
        if place.copy in behind:
            first, last = np.searchsorted(moves.leave_inner, [place.inner, place.inner + 1])
            counts = moves.leave_characters[first:last] + place.count
            ends = counts >= least if most is None else (counts >= least) & (counts <= most)
            nodes = moves.leave_node[first:last][ends]
            seeds.append(
                (np.full(len(nodes), state), nodes, np.full(len(nodes), behind[place.copy]))
            )
    columns = np.array(edges, np.int64).reshape(-1, 3).T
    runs = _Runs(columns[0], columns[1], columns[2], tuple(units))
    return runs, _Steps(*_joined(seeds)), walked


def _walk(dfa: Dfa, vocabulary: Vocabulary, seeds: _Steps, walked: NDArray[np.bool_]) -> _Steps:
    """Every token's way from every state: all walk the trie together, level by level."""
    trie, table = vocabulary.trie, dfa.table
    roots = np.flatnonzero(walked)
    source, node, state = roots, np.zeros(len(roots), np.int64), roots
    found: list[tuple[Integers, Integers, Integers]] = []
    ends = trie.ends[seeds.unit]
    found.append((seeds.source[ends], seeds.unit[ends], seeds.target[ends]))
    source = np.concatenate([source, seeds.source])
    node = np.concatenate([node, seeds.unit])
    state = np.concatenate([state, seeds.target])
    while len(node):
        owner, node, byte = trie.children(node)
        following = table[state[owner], byte]
        on = np.flatnonzero(following >= 0)
        source, node, state = source[owner[on]], node[on], following[on].astype(np.int64)
        ends = trie.ends[node]
        found.append((source[ends], node[ends], state[ends]))
    return _Steps(*_joined(found))


def _with_controls(dfa: Dfa, vocabulary: Vocabulary, steps: _Steps, sink: int) -> _Steps:
    """The steps, and those of control tokens and end tokens."""
    nodes = len(vocabulary.trie.ends)
    found = [(steps.source, steps.unit, steps.target)]
    for symbol, name in enumerate(dfa.controls, start=BYTES):
        source = np.flatnonzero(dfa.table[:, symbol] >= 0)
        if not len(source):
            continue
        if name not in vocabulary.controls:
            raise ConstraintError(
                f"this model has no control token {name}: it cannot write this constraint's form"
            )
        unit = nodes + vocabulary.controls[name]
        target = dfa.table[source, symbol].astype(np.int64)
        found.append((source, np.full(len(source), unit), target))
    final = np.flatnonzero(dfa.final)
    for end in vocabulary.ends:
        spelled = int(vocabulary.trie.token_node[end])
        unit = spelled if spelled >= 0 else nodes + end
        found.append((final, np.full(len(final), unit), np.full(len(final), sink)))
    return _Steps(*_joined(found))


def _joined(parts: list[tuple[Integers, Integers, Integers]]) -> tuple[Integers, ...]:
    if not parts:
        return (np.empty(0, np.int64),) * 3
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _distances(
    sources: Integers, targets: Integers, states: int, final: NDArray[np.bool_]
) -> Integers:
    """Fewest tokens from each state to a final one, -1 where there is no way."""
    pairs = np.unique(sources * (states + 1) + targets)
    sources, targets = pairs // (states + 1), pairs % (states + 1)
    distance = np.where(np.append(final, False), 0, -1).astype(np.int64)
    level = 0
    while True:
        near = (distance[targets] == level) & (distance[sources] < 0)
        if not near.any():
            return distance[:-1]
        level += 1
        distance[sources[near]] = level


def _reached(sources: Integers, targets: Integers, states: int, start: int) -> NDArray[np.bool_]:
    """Which states some sequence of tokens leads to."""
    pairs = np.unique(sources * states + targets)
    sources, targets = pairs // states, pairs % states
    reached = np.zeros(states, bool)
    reached[start] = True
    while True:
        new = targets[reached[sources] & ~reached[targets]]
        if not len(new):
            return reached
        reached[new] = True


def _scrambled(numbers: Integers) -> NDArray[np.uint64]:
    """A 64-bit fingerprint of each number (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        x = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _classes(steps: _Steps, runs: _Runs, size: int) -> tuple[Integers, int]:
    """The class of each unit, -1 for those that lead nowhere, and how many classes there are.

    Units are compared by the sum of fingerprints of all their steps: two that differ collide with
    a chance of 2^-64.
    """
    prints = np.zeros(size, np.uint64)
    states = 1 + max(int(steps.target.max(initial=0)), int(steps.source.max(initial=0)))
    np.add.at(prints, steps.unit, _scrambled(steps.source * states + steps.target))
    used = np.zeros(size, bool)
    used[steps.unit] = True
    for run in np.unique(runs.run).tolist():
        prints[runs.units[run]] += _scrambled(np.array([-2 - run]))[0]
        used[runs.units[run]] = True
    kept = np.flatnonzero(used)
    _, inverse = np.unique(prints[kept], return_inverse=True)
    unit_class = np.full(size, -1, np.int64)
    unit_class[kept] = inverse
    return unit_class, int(inverse.max(initial=-1)) + 1


@dataclass(frozen=True, eq=False)
class _Edges:
    source: Integers
    target: Integers
    edge_set: Integers
    set_classes: Integers
    set_starts: Integers


def _edges(steps: _Steps, runs: _Runs, unit_class: Integers, states: int) -> _Edges:
    """One edge between two states, with its set of classes; equal sets are one."""
    classes = int(unit_class.max(initial=-1)) + 1
    between = steps.source * states + steps.target
    triples = np.unique(between * classes + unit_class[steps.unit])
    pair, of_class = triples // classes, triples % classes
    firsts = np.flatnonzero(np.append(True, np.diff(pair) != 0)) if len(pair) else pair
    prints = np.add.reduceat(_scrambled(of_class), firsts) if len(pair) else np.empty(0, np.uint64)
    ends = np.append(firsts[1:], len(pair))
    contents = [unit_class[run] for run in runs.units]
    used = np.unique(runs.run)
    of_runs = {run: np.flatnonzero(np.bincount(contents[run])) for run in used.tolist()}
    run_prints = np.zeros(len(runs.units), np.uint64)
    for run, found in of_runs.items():
        run_prints[run] = _scrambled(found).sum(dtype=np.uint64)
    all_prints = np.concatenate([prints, run_prints[runs.run]])
    _, examples, edge_set = np.unique(all_prints, return_index=True, return_inverse=True)
    sets = [
        of_class[firsts[example] : ends[example]]
        if example < len(firsts)
        else of_runs[int(runs.run[example - len(firsts)])]
        for example in examples.tolist()
    ]
    return _Edges(
        np.concatenate([pair[firsts] // states, runs.source]),
        np.concatenate([pair[firsts] % states, runs.target]),
        edge_set.astype(np.int64),
        np.concatenate(sets) if sets else np.empty(0, np.int64),
        np.append(0, np.cumsum([len(one) for one in sets])).astype(np.int64),
    )


def _token_classes(unit_class: Integers, vocabulary: Vocabulary) -> Integers:
    """The class of each token, by the trie node that spells it or as a control token."""
    trie = vocabulary.trie
    nodes = len(trie.ends)
    spelled = trie.token_node >= 0
    of_token = unit_class[nodes:].copy()
    of_token[spelled] = unit_class[trie.token_node[spelled]]
    return of_token
