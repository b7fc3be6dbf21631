"""From an automaton over bytes to one over the tokens of a vocabulary.

`walk.py` walks the vocabulary's trie from all states at once. String bodies, in which nearly every
token may stand, are not walked: `bodies.py` has done so for the vocabulary. Both number what a
string does, so that a token is no more than a few numbers, and all that follows looks at the
*groups* of tokens that have the same ones, of which there are some hundreds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import ConstraintError
from ..vocabulary import QUOTE_BYTE, Trie, Vocabulary
from .automaton import TokenAutomaton
from .bodies import Body, Moves, moves_of
from .constraint import Constraint
from .dfa import BYTES, Dfa, Place
from .walk import Functions, Walk, distinct, scrambled, spread, sums, walk

Integers = NDArray[np.int64]
_DENSE = 1 << 18
"""Numbers below this are renumbered by a table of all of them, and not by sorting."""


@lru_cache(maxsize=64)
def compile_automaton(constraint: Constraint, vocabulary: Vocabulary) -> TokenAutomaton:
    """Lift a constraint to a vocabulary; the last few results are kept.

    Raises:
        ConstraintError: the language names a control token that the vocabulary does not have, or
            no sequence of its tokens spells any text of the language.
    """
    return _lift(constraint.dfa, vocabulary)


@dataclass(frozen=True, eq=False)
class _Steps:
    """Steps from `source` [N] by all tokens with the number `way` [N] to `target` [N]."""

    source: Integers
    way: Integers
    target: Integers

    def among(self, alive: NDArray[np.bool_]) -> _Steps:
        """Those between states that are alive."""
        kept = alive[self.source] & alive[self.target]
        return _Steps(self.source[kept], self.way[kept], self.target[kept])


@dataclass(frozen=True, eq=False)
class _Inside:
    """The states [N] of an automaton that are in copies of a string body, where in it they are,
    and the state behind the closing quote of each one's copy, or -1."""

    body: Body
    column: int
    """Which of the bodies' moves are this body's; bodies that differ in their counts share them."""
    state: Integers
    copy: Integers
    count: Integers
    inner: Integers
    behind: Integers


@dataclass(frozen=True, eq=False)
class _Groups:
    """Units (the strings at the trie's ends, then control tokens) by what they do: the group of
    each unit [U], and columns [G] of the groups' numbers: in the first that of its steps, in each
    other one that in a body's moves."""

    of_unit: Integers
    columns: tuple[Integers, ...]


def _lift(dfa: Dfa, vocabulary: Vocabulary) -> TokenAutomaton:
    states, trie = len(dfa.final), vocabulary.trie
    insides, moves = _insides(dfa, vocabulary)
    walked = np.ones(states, bool)
    for inside in insides:
        walked[inside.state] = False
    joining = _departures(insides, moves, trie)
    found = walk(trie, dfa.table[:, :BYTES], np.flatnonzero(walked), joining)
    ways, functions, controls = _with_controls(dfa, vocabulary, found)
    groups = _groups(
        [(ways, len(functions)), *((one.end_way, one.count) for one in moves)], len(controls)
    )
    used = np.unique(groups.columns[0])
    owner, source, target = functions.pairs(used)
    steps = _Steps(source, used[owner], target)
    shared = _shared(insides, moves)
    pairs = distinct(
        np.concatenate([one.source * (states + 1) + one.target for one in (steps, shared)])
    )
    sources, targets = pairs // (states + 1), pairs % (states + 1)
    distance = _distances(sources, targets, dfa.final)
    if distance[dfa.start] < 0:
        raise ConstraintError("the vocabulary has no tokens that spell any text of this constraint")
    alive = np.append(distance >= 0, True)
    alive[:-1] &= _reached(sources, targets, states + 1, dfa.start)[:-1]
    steps, shared = steps.among(alive), shared.among(alive)
    classes = _classes(groups, steps, len(functions), shared, moves)
    edges = _edges(classes, steps, shared, states + 1)
    renumbered = np.cumsum(alive) - 1
    count = int(alive.sum()) - 1
    order = np.argsort(renumbered[edges.source], kind="stable")
    source = renumbered[edges.source][order]
    token_class = _token_classes(classes.of_group[groups.of_unit], controls, trie)
    short = np.int16 if classes.count < 2**15 else np.int64  # numbers of 16 bits sort in one pass
    members = np.argsort(token_class.astype(short), kind="stable")
    members = members[token_class[members] >= 0]
    return TokenAutomaton(
        start=int(renumbered[dfa.start]),
        sink=count,
        token_class=token_class,
        members=members,
        class_starts=np.searchsorted(token_class[members], np.arange(classes.count + 1)),
        set_classes=edges.set_classes,
        set_starts=edges.set_starts,
        source=source,
        edge_set=edges.edge_set[order],
        target=renumbered[edges.target][order],
        edge_starts=np.searchsorted(source, np.arange(count + 2)),
        distance=np.append(distance[alive[:-1]], -1),
        pad=vocabulary.pad,
    )


def _insides(dfa: Dfa, vocabulary: Vocabulary) -> tuple[list[_Inside], list[Moves]]:
    """The states inside each string body, and the moves of these bodies."""
    found: dict[int, tuple[list[int], list[Place]]] = {}
    for number, place in enumerate(dfa.places):
        if place is not None:
            states, places = found.setdefault(id(place.body), ([], []))
            states.append(number)
            places.append(place)
    insides: list[_Inside] = []
    columns: dict[int, tuple[int, Moves]] = {}
    for states, places in found.values():
        body: Body = places[0].body
        moves = moves_of(body, vocabulary)
        column, _ = columns.setdefault(id(moves), (len(columns), moves))
        state, inner = np.array(states), np.array([place.inner for place in places])
        count = np.array([place.count for place in places])
        copy = np.unique([place.copy for place in places], return_inverse=True)[1]
        behind = np.full(1 + int(copy.max()), -1)
        if body.closing == "quote":
            following = dfa.table[state, QUOTE_BYTE]
            ends = body.dfa.final[inner] & (following >= 0)
            behind[copy[ends]] = following[ends]
        insides.append(_Inside(body, column, state, copy, count, inner, behind[copy]))
    return insides, [moves for _, moves in columns.values()]


def _departures(
    insides: list[_Inside], moves: list[Moves], trie: Trie
) -> tuple[Integers, Functions] | None:
    """Where strings that end with a quote lead from the bodies that it closes: for each of the
    trie's nodes behind quotes the number of a function."""
    parts: list[list[tuple[Integers, Integers, Integers]]] = [[] for _ in moves]
    for inside in insides:
        leaves = moves[inside.column].leaves
        least, most = inside.body.counted or (0, None)
        left = np.flatnonzero(inside.behind >= 0)
        firsts = np.searchsorted(leaves.inner, inside.inner[left])
        owner, leave = spread(firsts, np.searchsorted(leaves.inner, inside.inner[left], "right"))
        count = inside.count[left][owner] + leaves.characters[leave]
        ends = (count >= least) & (True if most is None else count <= most)
        at = left[owner[ends]]
        parts[inside.column].append(
            (leaves.number[leave[ends]], inside.state[at], inside.behind[at])
        )
    if not moves:
        return None
    groups = _groups([(one.quote_way, one.count) for one in moves])
    all_pairs: list[tuple[Integers, Integers, Integers]] = []
    for part, column, one in zip(parts, groups.columns, moves, strict=True):
        all_pairs.append(Functions.of(*_joined(part), one.count).pairs(column))
    functions = Functions.of(*_joined(all_pairs), len(groups.columns[0]))
    return groups.of_unit, functions


def _with_controls(
    dfa: Dfa, vocabulary: Vocabulary, found: Walk
) -> tuple[NDArray[np.int32], Functions, tuple[int, ...]]:
    """The functions' numbers at the ends of the trie and then of the control tokens that lead
    somewhere, the functions with those of controls and end tokens, and these control tokens."""
    trie, functions = vocabulary.trie, found.functions
    ways = found.way[trie.ends]
    parts: dict[int, list[tuple[Integers, Integers]]] = {}
    for symbol, name in enumerate(dfa.controls, start=BYTES):
        source = np.flatnonzero(dfa.table[:, symbol] >= 0)
        if not len(source):
            continue
        if name not in vocabulary.controls:
            raise ConstraintError(
                f"this model has no control token {name}: it cannot write this constraint's form"
            )
        target = dfa.table[source, symbol].astype(np.int64)
        unit = len(ways) + vocabulary.controls[name]
        parts.setdefault(unit, []).append((source, target))
    final = np.flatnonzero(dfa.final)
    for end in vocabulary.ends:
        place = int(trie.place_of[end])
        unit = place if place >= 0 else len(ways) + end
        parts.setdefault(unit, []).append((final, np.full(len(final), len(dfa.final))))
    lengths, sources, targets, controls, added = [], [functions.source], [functions.target], [], []
    for number, (unit, pairs) in enumerate(parts.items(), start=len(functions)):
        if unit < len(ways):
            pairs.append(functions.pairs(ways[unit : unit + 1].astype(np.int64))[1:])
            ways[unit] = number
        else:
            controls.append(unit - len(ways))
            added.append(number)
        sources += [source for source, _ in pairs]
        targets += [target for _, target in pairs]
        lengths.append(sum(len(source) for source, _ in pairs))
    starts = np.append(functions.starts, functions.starts[-1] + np.cumsum(lengths, dtype=np.int64))
    ways = np.append(ways, np.array(added, np.int32))
    functions = Functions(starts, np.concatenate(sources), np.concatenate(targets))
    return ways, functions, tuple(controls)


def _shared(insides: list[_Inside], moves: list[Moves]) -> _Steps:
    """The steps that stay in string bodies; their ways are the runs of all moves, in order."""
    before = _before(moves)
    parts: list[tuple[Integers, Integers, Integers]] = []
    for inside in insides:
        run = moves[inside.column].runs[0]
        least, most = inside.body.counted or (0, None)
        firsts = np.searchsorted(run.inner, inside.inner)
        owner, number = spread(firsts, np.searchsorted(run.inner, inside.inner, "right"))
        highest = int(inside.count.max())
        count = inside.count[owner] + run.characters[number]
        if most is None:
            count = np.minimum(count, least)
        near = count <= highest
        owner, number, count = owner[near], number[near], count[near]
        size = len(inside.body.dfa.final)
        where = np.full((1 + int(inside.copy.max()), 1 + highest, size), -1)
        where[inside.copy, inside.count, inside.inner] = inside.state
        target = where[inside.copy[owner], count, run.to[number]]
        there = target >= 0
        parts.append(
            (inside.state[owner[there]], before[inside.column] + number[there], target[there])
        )
    return _Steps(*_joined(parts))


def _before(moves: list[Moves]) -> Integers:
    """How many runs the moves before each have, and last how many there are."""
    return np.cumsum([0, *(len(one.runs[0].number) for one in moves)])


def _joined(
    parts: list[tuple[Integers, Integers, Integers]],
) -> tuple[Integers, Integers, Integers]:
    none = np.empty(0, np.int64)
    first, second, third = zip(*parts, strict=True) if parts else ((none,),) * 3
    return np.concatenate(first), np.concatenate(second), np.concatenate(third)


def _groups(columns: list[tuple[NDArray[np.int32], int]], extra: int = 0) -> _Groups:
    """Group units by their numbers in all columns, each [U] with how many numbers there are. All
    columns but the first are shorter by `extra` units, whose numbers in them are 0."""
    (first, size), *others = columns
    group = first.astype(np.int64)
    padded = [first, *(np.append(ways, np.zeros(extra, np.int32)) for ways, _ in others)]
    for ways, (_, count) in zip(padded[1:], others, strict=True):
        group, size = _renumbered(group, size)
        group, size = group * count + ways, size * count
    group, size = _renumbered(group, size)
    example = np.empty(size, np.int64)
    example[group] = np.arange(len(group))
    return _Groups(group, tuple(ways[example].astype(np.int64) for ways in padded))


def _renumbered(numbers: Integers, size: int) -> tuple[Integers, int]:
    """The same numbers [N], all below `size`, without gaps; and how many there are."""
    if size > _DENSE:
        found, numbers = np.unique(numbers, return_inverse=True)
        return numbers, len(found)
    there = np.zeros(size, bool)
    there[numbers] = True
    places = np.cumsum(there) - 1
    return places[numbers], int(places[-1]) + 1


def _distances(sources: Integers, targets: Integers, final: NDArray[np.bool_]) -> Integers:
    """Fewest tokens from each state to a final one, -1 where there is no way."""
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
    reached = np.zeros(states, bool)
    reached[start] = True
    while True:
        new = targets[reached[sources] & ~reached[targets]]
        if not len(new):
            return reached
        reached[new] = True


@dataclass(frozen=True, eq=False)
class _Lists:
    """Lists of numbers, each ascending: list `k` is `values[starts[k] : starts[k + 1]]`."""

    starts: Integers  # [K + 1]
    values: Integers

    @classmethod
    def of(cls, number: Integers, value: Integers, count: int, values: int) -> _Lists:
        """`count` lists of values below `values` from pairs [M], `number` saying which list a
        value is in; a pair may come twice."""
        pairs = distinct(number * values + value)
        return cls(np.searchsorted(pairs, np.arange(count + 1) * values), pairs % values)

    def of_some(self, chosen: Integers) -> tuple[Integers, Integers]:
        """The values of some lists [K], and the place in `chosen` of each one's list."""
        owner, place = spread(self.starts[chosen], self.starts[chosen + 1])
        return self.values[place], owner

    def prints(self) -> NDArray[np.uint64]:
        """A fingerprint of each list; that of two lists without a common value is the sum."""
        return sums(scrambled(self.values), self.starts)


@dataclass(frozen=True, eq=False)
class _Classes:
    """The class of each group [G], -1 for those that lead nowhere. Ways that do the same are of one
    `kind`, -1 for those that do nothing; each kind has its classes, and each run that is taken."""

    count: int
    of_group: Integers
    kind_of_way: Integers
    of_kind: _Lists
    of_run: _Lists


def _classes(
    groups: _Groups, steps: _Steps, ways: int, shared: _Steps, moves: list[Moves]
) -> _Classes:
    """Groups are of one class when they do the same steps and are in the same runs."""
    states = 1 + max(int(steps.target.max(initial=0)), int(steps.source.max(initial=0)))
    starts = np.searchsorted(steps.way, np.arange(ways + 1))
    prints = sums(scrambled(steps.source * states + steps.target), starts)
    used = np.flatnonzero(np.diff(starts))
    kind_of_way = np.full(ways, -1)
    kind_of_way[used] = np.unique(prints[used], return_inverse=True)[1]
    kind = kind_of_way[groups.columns[0]]
    total, lives = prints[groups.columns[0]], kind >= 0
    before = _before(moves)
    taken = np.zeros(before[-1], bool)
    taken[shared.way] = True
    run_prints = scrambled(-2 - np.arange(before[-1]))
    runs, members = [before[:0]], [before[:0]]
    for column, one, first in zip(groups.columns[1:], moves, before, strict=False):
        numbers, run_of_stay = one.stays.number, one.runs[1]
        member, stay = spread(
            np.searchsorted(numbers, column), np.searchsorted(numbers, column, "right")
        )
        run = first + run_of_stay[stay]
        member, run = member[taken[run]], run[taken[run]]
        ends = np.searchsorted(member, np.arange(len(column) + 1))
        total += sums(run_prints[run], ends)
        lives |= np.diff(ends) > 0
        runs.append(run)
        members.append(member)
    of_group = np.full(len(kind), -1)
    distinct, of_group[lives] = np.unique(total[lives], return_inverse=True)
    known = np.flatnonzero(kind >= 0)
    return _Classes(
        len(distinct),
        of_group,
        kind_of_way,
        _Lists.of(
            kind[known], of_group[known], 1 + int(kind_of_way.max(initial=-1)), len(distinct)
        ),
        _Lists.of(
            np.concatenate(runs), of_group[np.concatenate(members)], len(taken), len(distinct)
        ),
    )


@dataclass(frozen=True, eq=False)
class _Edges:
    source: Integers
    target: Integers
    edge_set: Integers
    set_classes: Integers
    set_starts: Integers


def _edges(classes: _Classes, steps: _Steps, shared: _Steps, states: int) -> _Edges:
    """One edge between two states for all steps and one for each run; equal sets are one."""
    kinds = len(classes.of_kind.starts) - 1
    between = steps.source * states + steps.target
    triples = distinct(between * max(1, kinds) + classes.kind_of_way[steps.way])
    pair, kind = triples // max(1, kinds), triples % max(1, kinds)
    starts = np.append(np.flatnonzero(np.diff(pair, prepend=-1)), len(pair))
    pair = pair[starts[:-1]]
    prints = np.concatenate(
        [sums(classes.of_kind.prints()[kind], starts), classes.of_run.prints()[shared.way]]
    )
    _, examples, edge_set = np.unique(prints, return_index=True, return_inverse=True)
    own, runs = np.flatnonzero(examples < len(pair)), np.flatnonzero(examples >= len(pair))
    owner, place = spread(starts[examples[own]], starts[examples[own] + 1])
    from_kinds, part = classes.of_kind.of_some(kind[place])
    from_runs, run = classes.of_run.of_some(shared.way[examples[runs] - len(pair)])
    sets = _Lists.of(
        np.concatenate([own[owner[part]], runs[run]]),
        np.concatenate([from_kinds, from_runs]),
        len(examples),
        classes.count,
    )
    return _Edges(
        np.concatenate([pair // states, shared.source]),
        np.concatenate([pair % states, shared.target]),
        edge_set,
        sets.values,
        sets.starts,
    )


def _token_classes(unit_class: Integers, controls: tuple[int, ...], trie: Trie) -> Integers:
    """The class of each token, by its place among the trie's ends or as a control token."""
    ends = len(trie.ends)
    token_class = np.append(unit_class[:ends], -1)[trie.place_of]
    token_class[list(controls)] = unit_class[ends:]
    return token_class
