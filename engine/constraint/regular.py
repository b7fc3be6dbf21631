"""Regular languages over bytes and control tokens: expressions, and the automaton of one.

An expression is a small frozen tree. Its alphabet has 256 byte symbols and, above them, one symbol
for every control token that it names. `determinise` turns it into a `Dfa` by Thompson's
construction and the subset construction; `Both` is an intersection, taken on the automata.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive ranges of code points."""

LAST_CODE_POINT = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_LENGTHS = (  # code points that UTF-8 spells in as many bytes
    (0, 0x7F),
    (0x80, 0x7FF),
    (0x800, 0xD7FF),
    (0xE000, 0xFFFF),
    (0x10000, LAST_CODE_POINT),
)
BYTES = 256


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
    """One of several; none of them is the empty language."""

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


Expression = Literal | Characters | Control | Concatenation | Either | Repeat | Both
EMPTY = Concatenation(())


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


@dataclass(frozen=True)
class Dfa:
    """A trimmed deterministic automaton: every state is reachable and can reach a final one.

    `table[state, symbol]` is the next state or -1; `controls[k]` is the name of symbol 256 + k.
    """

    table: NDArray[np.int32]  # [Q, 256 + controls]
    final: NDArray[np.bool_]  # [Q]
    controls: tuple[str, ...]
    start: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether no text at all is in the language."""
        return len(self.final) == 0

    def run(self, symbols: Iterable[int]) -> int:
        """The state after the symbols, or -1."""
        if self.is_empty:
            return -1
        state, table = self.start, self._rows
        for symbol in symbols:
            state = table[state][symbol]
            if state < 0:
                return -1
        return state

    @cached_property
    def _rows(self) -> list[list[int]]:
        return self.table.tolist()


def determinise(expression: Expression) -> Dfa:
    """The automaton of an expression; empty when no text is in its language."""
    controls = tuple(sorted(set(_controls(expression))))
    return _Builder(controls).dfa(expression)


def _controls(expression: Expression) -> Iterable[str]:
    match expression:
        case Control(name):
            yield name
        case Concatenation(parts) | Either(parts):
            for part in parts:
                yield from _controls(part)
        case Repeat(part):
            yield from _controls(part)
        case Both(first, second):
            yield from _controls(first)
            yield from _controls(second)


class _Builder:
    """A nondeterministic automaton under construction."""

    def __init__(self, controls: tuple[str, ...]) -> None:
        self._controls = controls
        self._edges: list[list[tuple[int, int, int]]] = []  # (low, high, target) of each state
        self._free: list[list[int]] = []  # targets without a symbol

    def dfa(self, expression: Expression) -> Dfa:
        start, end = self._state(), self._state()
        self._add(expression, start, end)
        return self._determinise(start, end)

    def _state(self) -> int:
        self._edges.append([])
        self._free.append([])
        return len(self._edges) - 1

    def _add(self, expression: Expression, start: int, end: int) -> None:
        """Add the paths of an expression from one state to another."""
        match expression:
            case Literal(text):
                self._path([(byte, byte) for byte in text.encode()], start, end)
            case Characters(ranges):
                for low, high in ranges:
                    for path in utf8_paths(low, high):
                        self._path(path, start, end)
            case Control(name):
                symbol = BYTES + self._controls.index(name)
                self._edges[start].append((symbol, symbol, end))
            case Concatenation(parts):
                for part in parts[:-1]:
                    middle = self._state()
                    self._add(part, start, middle)
                    start = middle
                if parts:
                    self._add(parts[-1], start, end)
                else:
                    self._free[start].append(end)
            case Either(options):
                for option in options:
                    self._add(option, start, end)
            case Repeat(part, least, most):
                self._repeat(part, least, most, start, end)
            case Both(first, second):
                product = _product(
                    _Builder(self._controls).dfa(first), _Builder(self._controls).dfa(second)
                )
                self._embed(product, start, end)

    def _path(self, steps: Sequence[tuple[int, int]], start: int, end: int) -> None:
        if not steps:
            self._free[start].append(end)
            return
        for low, high in steps[:-1]:
            middle = self._state()
            self._edges[start].append((low, high, middle))
            start = middle
        self._edges[start].append((*steps[-1], end))

    def _repeat(self, part: Expression, least: int, most: int | None, start: int, end: int) -> None:
        for _ in range(least):
            middle = self._state()
            self._add(part, start, middle)
            start = middle
        if most is None:
            loop = self._state()
            self._free[start].append(loop)
            self._add(part, loop, loop)
            self._free[loop].append(end)
            return
        self._free[start].append(end)
        for _ in range(most - least):
            middle = self._state()
            self._add(part, start, middle)
            self._free[middle].append(end)
            start = middle

    def _embed(self, dfa: Dfa, start: int, end: int) -> None:
        states = [self._state() for _ in dfa.final]
        if states:
            self._free[start].append(states[dfa.start])
        for state, row in enumerate(dfa.table):
            for symbol in np.flatnonzero(row >= 0).tolist():
                self._edges[states[state]].append((symbol, symbol, states[int(row[symbol])]))
            if dfa.final[state]:
                self._free[states[state]].append(end)

    def _closure(self, states: Iterable[int]) -> frozenset[int]:
        found, waiting = set(states), list(states)
        while waiting:
            for target in self._free[waiting.pop()]:
                if target not in found:
                    found.add(target)
                    waiting.append(target)
        return frozenset(found)

    def _determinise(self, start: int, end: int) -> Dfa:
        """Subset construction; the sets are told apart by their states that have edges."""
        closures: dict[int, frozenset[int]] = {}

        def kernel(targets: Iterable[int]) -> frozenset[int]:
            merged: set[int] = set()
            for target in targets:
                if target not in closures:
                    closures[target] = frozenset(
                        state
                        for state in self._closure([target])
                        if self._edges[state] or state == end
                    )
                merged |= closures[target]
            return frozenset(merged)

        first = kernel([start])
        numbers, waiting = {first: 0}, [first]
        rows: list[list[tuple[int, int, int]]] = []
        while len(rows) < len(numbers):
            edges = [edge for state in waiting[len(rows)] for edge in self._edges[state]]
            row: list[tuple[int, int, int]] = []
            cuts = sorted({edge[0] for edge in edges} | {edge[1] + 1 for edge in edges})
            for low, after in pairwise(cuts):
                targets = {target for lo, hi, target in edges if lo <= low <= hi}
                if targets:
                    subset = kernel(targets)
                    if subset not in numbers:
                        numbers[subset] = len(numbers)
                        waiting.append(subset)
                    row.append((low, after, numbers[subset]))
            rows.append(row)
        table = np.full((len(rows), BYTES + len(self._controls)), -1, dtype=np.int32)
        for state, row in enumerate(rows):
            for low, after, target in row:
                table[state, low:after] = target
        final = np.array([end in subset for subset in waiting])
        return _trimmed(table, final, self._controls)


def _product(first: Dfa, second: Dfa) -> Dfa:
    """The automaton of the intersection."""
    if first.is_empty or second.is_empty:
        return first if first.is_empty else second
    width = len(second.final)
    numbers = {first.start * width + second.start: 0}
    pairs = [(first.start, second.start)]
    rows = []
    while len(rows) < len(pairs):
        one, other = pairs[len(rows)]
        left, right = first.table[one].astype(np.int64), second.table[other]
        joint = np.where((left >= 0) & (right >= 0), left * width + right, -1)
        for pair in np.unique(joint).tolist():
            if pair >= 0 and pair not in numbers:
                numbers[pair] = len(numbers)
                pairs.append(divmod(pair, width))
        rows.append(np.array([numbers.get(pair, -1) for pair in joint.tolist()], dtype=np.int32))
    final = np.array([first.final[one] and second.final[other] for one, other in pairs])
    return _trimmed(np.stack(rows), final, first.controls)


def _trimmed(table: NDArray[np.int32], final: NDArray[np.bool_], controls: tuple[str, ...]) -> Dfa:
    """Drop the states that reach no final state; all states are reachable, the start is 0."""
    sources, symbols = np.nonzero(table >= 0)
    pairs = np.unique(np.stack([table[sources, symbols], sources]), axis=1)
    before: list[list[int]] = [[] for _ in final]
    for target, source in pairs.T.tolist():
        before[target].append(source)
    waiting = np.flatnonzero(final).tolist()
    alive = final.copy()
    while waiting:
        for source in before[waiting.pop()]:
            if not alive[source]:
                alive[source] = True
                waiting.append(source)
    if not alive[0]:
        return Dfa(np.empty((0, table.shape[1]), np.int32), np.empty(0, bool), controls)
    renumbered = np.where(alive, np.cumsum(alive) - 1, -1).astype(np.int32)
    kept = np.where(table >= 0, renumbered[table], -1).astype(np.int32)[alive]
    return Dfa(kept, final[alive], controls)


def utf8_paths(low: int, high: int) -> list[list[tuple[int, int]]]:
    """Byte ranges that spell exactly the code points from `low` to `high` (surrogates excluded)."""
    paths: list[list[tuple[int, int]]] = []
    for first, last in _LENGTHS:
        start, stop = max(low, first), min(high, last)
        if start <= stop:
            paths += _same_length_paths(chr(start).encode(), chr(stop).encode())
    return paths


def _same_length_paths(low: bytes, high: bytes) -> list[list[tuple[int, int]]]:
    """Byte ranges between two UTF-8 spellings of the same length."""
    if len(low) == 1:
        return [[(low[0], high[0])]]
    if low[0] == high[0]:
        head = (low[0], low[0])
        return [[head, *tail] for tail in _same_length_paths(low[1:], high[1:])]
    least, most = b"\x80" * (len(low) - 1), b"\xbf" * (len(low) - 1)
    paths: list[list[tuple[int, int]]] = []
    first, last = low[0], high[0]
    if low[1:] != least:
        paths += [[(first, first), *tail] for tail in _same_length_paths(low[1:], most)]
        first += 1
    tails: list[list[tuple[int, int]]] = []
    if high[1:] != most:
        tails = [[(last, last), *tail] for tail in _same_length_paths(least, high[1:])]
        last -= 1
    if first <= last:
        paths.append([(first, last), *[(0x80, 0xBF)] * (len(low) - 1)])
    return paths + tails
