"""Regular languages over bytes and control tokens: expressions, and the automaton of one.

An expression is a small frozen tree. Its alphabet has 256 byte symbols and, above them, one symbol
for every control token that it names. `determinise` builds a nondeterministic automaton from its
end to its start, so that what has the same continuation is one state however often it is written,
then takes the subsets and minimises them. `Both` and `Not` are taken on the automata of their
parts (`dfa.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from .dfa import (
    BYTES,
    Dfa,
    Row,
    Sparse,
    explore,
    finished,
    intersect,
    joined,
    minimised,
    subtract,
    trim,
)

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive ranges of code points."""

LAST_CODE_POINT = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_LEADS = (  # code points that UTF-8 spells in as many bytes: first, last, what leads, tail bytes
    (0, 0x7F, 0, 0),
    (0x80, 0x7FF, 0xC0, 1),
    (0x800, 0xFFFF, 0xE0, 2),
    (0x10000, LAST_CODE_POINT, 0xF0, 3),
)


@dataclass(frozen=True)
class Literal:
    """A fixed text."""

    text: str


@dataclass(frozen=True)
class Characters:
    """One character of a set, spelled in UTF-8."""

    ranges: Ranges


@dataclass(frozen=True)
class Control:
    """One control token, by its text."""

    name: str


@dataclass(frozen=True)
class Concatenation:
    """One part after the other."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Either:
    """One of several; without any it is the empty language."""

    options: tuple[Expression, ...]


@dataclass(frozen=True)
class Repeat:
    """`least` to `most` times; `most` of `None` is without bound."""

    part: Expression
    least: int
    most: int | None


@dataclass(frozen=True)
class Both:
    """What is in both languages."""

    first: Expression
    second: Expression


@dataclass(frozen=True)
class Not:
    """Every UTF-8 text that is not in the part's language; the part names no control token."""

    part: Expression


@dataclass(frozen=True)
class Graph:
    """The paths of a graph from node 0 to a final node: each edge `(source, label, target)` stands
    for what its label does."""

    edges: tuple[tuple[int, Expression, int], ...]
    final: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Known:
    """The texts of an automaton over bytes."""

    automaton: Sparse


Expression = (
    Literal | Characters | Control | Concatenation | Either | Repeat | Both | Not | Graph | Known
)
EMPTY = Concatenation(())
NOTHING = Either(())


def sequence(*parts: Expression) -> Expression:
    """Concatenation."""
    return parts[0] if len(parts) == 1 else Concatenation(parts)


def either(*options: Expression) -> Expression:
    """Union."""
    return options[0] if len(options) == 1 else Either(options)


def optional(part: Expression) -> Expression:
    """Once or not at all."""
    return Repeat(part, 0, 1)


def character_set(*ranges: tuple[int, int]) -> Ranges:
    """Sorted, joined ranges."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """Every code point that is not in the ranges (surrogates are in neither)."""
    free: list[tuple[int, int]] = []
    next_free = 0
    for low, high in character_set(*ranges, _SURROGATES):
        if next_free < low:
            free.append((next_free, low - 1))
        next_free = high + 1
    if next_free <= LAST_CODE_POINT:
        free.append((next_free, LAST_CODE_POINT))
    return tuple(free)


def intersection(first: Ranges, second: Ranges) -> Ranges:
    """Code points in both."""
    return complement(character_set(*complement(first), *complement(second)))


ANY = complement(())


def spelled(expression: Expression, spell: Callable[[Ranges], Expression]) -> Expression:
    """A language over characters, with every character written as `spell` writes it.

    No spelling of one character may begin another's, so that every written text stands for one
    text: what is not in a complement is then the spelling of what is not in its part.
    """
    match expression:
        case Characters(ranges):
            return spell(ranges)
        case Literal(text):
            return Concatenation(tuple(spell(((ord(one), ord(one)),)) for one in text))
        case Concatenation(parts):
            return Concatenation(tuple(spelled(part, spell) for part in parts))
        case Either(options):
            return Either(tuple(spelled(option, spell) for option in options))
        case Repeat(part, least, most):
            return Repeat(spelled(part, spell), least, most)
        case Both(first, second):
            return Both(spelled(first, spell), spelled(second, spell))
        case Not(part):
            return Both(Repeat(spell(ANY), 0, None), Not(spelled(part, spell)))
        case Graph(edges, final):
            return Graph(
                tuple((source, spelled(label, spell), target) for source, label, target in edges),
                final,
            )
        case Control():
            return expression
        case Known():
            raise ValueError("an automaton's characters cannot be spelled anew")


def determinise(expression: Expression) -> Dfa:
    """The smallest automaton of an expression; empty when no text is in its language.

    Raises:
        ConstraintError: it needs more than `dfa.MOST_STATES` states.
        ValueError: the part of a `Not` names a control token.
    """
    controls = tuple(sorted(set(_controls(expression))))
    return finished(_Builder(controls).language(expression), controls)


def _controls(expression: Expression) -> Iterable[str]:
    match expression:
        case Control(name):
            yield name
        case Concatenation(parts) | Either(parts):
            for part in parts:
                yield from _controls(part)
        case Repeat(part) | Not(part):
            yield from _controls(part)
        case Both(first, second):
            yield from _controls(first)
            yield from _controls(second)
        case Graph(edges):
            for _, label, _ in edges:
                yield from _controls(label)


_NOWHERE, _END = 0, 1  # the kernels of no state at all, and of the end
_THE_END = 0  # the state that the end's kernel holds
_MANY = 8


class _Builder:
    """A nondeterministic automaton under construction.

    A *kernel* is a numbered set of states that one may be in at once; an edge leads to a kernel.
    There are no free moves: a junction is a state that stands for the kernel it was joined to.
    """

    def __init__(self, controls: tuple[str, ...]) -> None:
        self._controls = controls
        self._edges: list[Row] = [[]]  # (low, high, kernel) of each state
        self._states: dict[tuple[tuple[int, int, int], ...], int] = {}
        self._kernels: list[frozenset[int]] = [frozenset(), frozenset((_THE_END,))]
        self._kernel_numbers = {kernel: number for number, kernel in enumerate(self._kernels)}
        self._junctions: dict[int, int] = {}  # junction: the kernel it stands for
        self._resolved: dict[int, frozenset[int]] = {}
        self._built: dict[tuple[int, int], int] = {}  # (id of an expression, next): its kernel
        self._languages: dict[int, Sparse] = {}
        self._may_be_stuck = False  # whether some state may reach no end

    def language(self, expression: Expression) -> Sparse:
        """The smallest automaton of an expression."""
        known = self._languages.get(id(expression))
        if known is None:
            subsets = self._subsets(self._add(expression, _END))
            known = minimised(trim(subsets) if self._may_be_stuck else subsets)
            self._languages[id(expression)] = known
        return known

    def _kernel(self, states: frozenset[int]) -> int:
        number = self._kernel_numbers.setdefault(states, len(self._kernels))
        if number == len(self._kernels):
            self._kernels.append(states)
        return number

    def _union(self, first: int, second: int) -> int:
        if first in (second, _NOWHERE):
            return second
        return self._kernel(self._kernels[first] | self._kernels[second])

    def _step(self, edges: tuple[tuple[int, int, int], ...]) -> int:
        """The kernel of the state with these edges."""
        state = self._states.get(edges)
        if state is None:
            state = self._states[edges] = len(self._edges)
            self._edges.append(list(edges))
        return self._kernel(frozenset((state,)))

    def _junction(self) -> int:
        self._edges.append([])
        return len(self._edges) - 1

    def _add(self, expression: Expression, following: int) -> int:
        """The kernel from which an expression leads to the following kernel."""
        key = (id(expression), following)
        known = self._built.get(key)
        if known is None:
            known = self._built[key] = self._added(expression, following)
        return known

    def _added(self, expression: Expression, following: int) -> int:
        match expression:
            case Literal(text):
                for byte in reversed(text.encode()):
                    following = self._step(((byte, byte, following),))
                return following
            case Characters(ranges):
                return self._character(ranges, following)
            case Control(name):
                symbol = BYTES + self._controls.index(name)
                return self._step(((symbol, symbol, following),))
            case Concatenation(parts):
                for part in reversed(parts):
                    following = self._add(part, following)
                return following
            case Either(options):
                self._may_be_stuck |= not options
                kernels = [self._kernels[self._add(option, following)] for option in options]
                return self._kernel(frozenset().union(*kernels))
            case Repeat(part, least, most):
                return self._repeat(part, least, most, following)
            case Both(first, second):
                both = intersect(self.language(first), self.language(second))
                return self._embed(both, following)
            case Not(part):
                if any(_controls(part)):
                    raise ValueError("the complement of a language with control tokens")
                rest = subtract(_all_text(), self.language(part))
                return self._embed(rest, following)
            case Graph(edges, final):
                return self._graph(edges, final, following)
            case Known(automaton):
                return self._embed(automaton, following)

    def _character(self, ranges: Ranges, following: int) -> int:
        self._may_be_stuck |= not ranges
        kernels = [following]
        for node in utf8_nodes(ranges):
            edges = tuple((low, high, kernels[child]) for low, high, child in node)
            kernels.append(self._step(edges))
        return kernels[-1] if ranges else _NOWHERE

    def _repeat(self, part: Expression, least: int, most: int | None, following: int) -> int:
        add = self._add
        if max(least, most or 0) > _MANY and not isinstance(part, (Literal, Characters)):
            # written out so often, the part is worth its smallest form
            smallest = self.language(part)

            def add(expression: Expression, following: int) -> int:
                return self._embed(smallest, following)

        entry = following
        if most is None:
            junction = self._junction()
            entry = self._kernel(frozenset((junction,)))
            once = add(part, entry)
            self._junctions[junction] = self._union(once, following)
            if least:
                entry, least = once, least - 1
        else:
            for _ in range(most - least):
                entry = self._union(add(part, entry), following)
        for _ in range(least):
            entry = add(part, entry)
        return entry

    def _graph(
        self, edges: Iterable[tuple[int, Expression, int]], final: tuple[int, ...], following: int
    ) -> int:
        self._may_be_stuck = True
        nodes = {node for source, _, target in edges for node in (source, target)} | {0, *final}
        junctions = {node: self._junction() for node in nodes}
        leaving = {node: following if node in final else _NOWHERE for node in nodes}
        for source, label, target in edges:
            there = self._kernel(frozenset((junctions[target],)))
            leaving[source] = self._union(self._add(label, there), leaving[source])
        for node, junction in junctions.items():
            self._junctions[junction] = leaving[node]
        return self._kernel(frozenset((junctions[0],)))

    def _embed(self, automaton: Sparse, following: int) -> int:
        self._may_be_stuck |= not automaton.rows
        if not automaton.rows:
            return _NOWHERE
        first = len(self._edges)
        self._edges += [[] for _ in automaton.rows]
        kernels = []
        for state, is_final in enumerate(automaton.final, start=first):
            alone = self._kernel(frozenset((state,)))
            kernels.append(self._union(alone, following) if is_final else alone)
        for state, row in enumerate(automaton.rows, start=first):
            self._edges[state] = [(low, high, kernels[target]) for low, high, target in row]
        return kernels[0]

    def _resolve(self, kernel: int) -> frozenset[int]:
        """A kernel's states without junctions."""
        known = self._resolved.get(kernel)
        if known is None:
            found, waiting = set(self._kernels[kernel]), list(self._kernels[kernel])
            while waiting:
                junction = self._junctions.get(waiting.pop())
                if junction is not None:
                    new = self._kernels[junction] - found
                    found |= new
                    waiting += new
            known = frozenset([state for state in found if state not in self._junctions])
            self._resolved[kernel] = known
        return known

    def _subsets(self, start: int) -> Sparse:
        """The subset construction from a kernel."""
        merged: dict[tuple[int, ...], frozenset[int]] = {}

        def union(kernels: tuple[int, ...]) -> frozenset[int]:
            known = merged.get(kernels)
            if known is None:
                known = frozenset().union(*[self._resolve(kernel) for kernel in kernels])
                merged[kernels] = known
            return known

        def expand(
            subset: frozenset[int], number: Callable[[frozenset[int]], int]
        ) -> tuple[Row, bool]:
            if len(subset) == 1:
                (state,) = subset
                edges = self._edges[state]
                row = [(low, high, number(self._resolve(kernel))) for low, high, kernel in edges]
                return row, state == _THE_END
            edges = [edge for state in subset for edge in self._edges[state]]
            row = [(low, high, number(union(kernels))) for low, high, kernels in _segments(edges)]
            return row, _THE_END in subset

        return explore(self._resolve(start), expand)


def _segments(edges: Row) -> Iterable[tuple[int, int, tuple[int, ...]]]:
    """Where edges overlap, all that they lead to."""
    cuts = sorted({edge[0] for edge in edges} | {edge[1] + 1 for edge in edges})
    places = {cut: place for place, cut in enumerate(cuts)}
    targets: list[list[int]] = [[] for _ in cuts]
    for low, high, kernel in edges:
        for place in range(places[low], places[high + 1]):
            targets[place].append(kernel)
    for place, kernels in enumerate(targets):
        if kernels:
            yield cuts[place], cuts[place + 1] - 1, tuple(kernels)


@lru_cache(maxsize=1)
def _all_text() -> Sparse:
    """Every UTF-8 text."""
    return _Builder(()).language(Repeat(Characters(ANY), 0, None))


Node = tuple[tuple[int, int, int], ...]


@lru_cache(maxsize=4096)
def utf8_nodes(ranges: Ranges) -> tuple[Node, ...]:
    """The bytes that spell one character of the ranges, as a graph whose last node is the start.

    A node is its edges `(low, high, child)`: child 0 is the end, child k is node k - 1. Equal
    tails are one node, so that any character at all is eight nodes.
    """
    numbers: dict[Node, int] = {}

    def tail(spans: list[tuple[int, int]], lead: int, depth: int) -> Node:
        """The edges that spell offsets in the spans by one byte above `lead` and `depth` more."""
        if not depth:
            return tuple((lead + low, lead + high, 0) for low, high in spans)
        size = 64**depth
        parts: dict[int, list[tuple[int, int]]] = {}
        edges: list[tuple[int, int, int]] = []
        for low, high in spans:
            first, last = low // size, high // size
            for byte in {first, last}:
                start, stop = max(low, byte * size), min(high, byte * size + size - 1)
                parts.setdefault(byte, []).append((start - byte * size, stop - byte * size))
            if first + 1 < last:
                edges.append((first + 1, last - 1, child([(0, size - 1)], depth)))
        edges += [(byte, byte, child(part, depth)) for byte, part in parts.items()]
        edges.sort()
        return tuple(joined([(lead + low, lead + high, target) for low, high, target in edges]))

    def child(spans: list[tuple[int, int]], depth: int) -> int:
        node = tail(spans, 0x80, depth - 1)
        return numbers.setdefault(node, len(numbers) + 1)

    allowed = intersection(ranges, ANY)
    start: list[tuple[int, int, int]] = []
    for first, last, lead, depth in _LEADS:
        spans = [(max(low, first), min(high, last)) for low, high in allowed]
        start += tail([(low, high) for low, high in spans if low <= high], lead, depth)
    return (*numbers, tuple(start))
