"""Deterministic automata over bytes and control tokens, and what is computed on them.

A `Dfa` is what the rest of the engine reads: a dense table. The algorithms work on `Sparse`, in
which a state's row is a short sorted list of symbol ranges: intersection, complement within
UTF-8, and minimisation never look at 256 symbols one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ConstraintError

BYTES = 256
MOST_STATES = 30_000
"""A language that needs more states than these is refused; a table of them takes 30 MB."""

Thing = TypeVar("Thing")
Row = list[tuple[int, int, int]]
"""Sorted, disjoint `(low, high, target)`: the symbols from low to high lead to the target."""


@dataclass(frozen=True)
class Place:
    """A state of a string body (`bodies.py`): which body, which one of its copies (each has another
    continuation), and its state in the body after `count` characters (0 if they do not count)."""

    body: Any
    copy: int
    count: int
    inner: int


@dataclass(frozen=True, eq=False)
class Dfa:
    """A trimmed deterministic automaton: every state is reachable and can reach a final one. Two
    that do the same, state by state, are equal, whatever is known of their places.

    `table[state, symbol]` is the next state or -1; `controls[k]` is the name of symbol 256 + k.
    """

    table: NDArray[np.int32]  # [Q, 256 + controls]
    final: NDArray[np.bool_]  # [Q]
    controls: tuple[str, ...]
    start: int = 0
    places: tuple[Place | None, ...] = ()
    """Where each state stands inside a string body, if it is known; or empty."""

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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dfa) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> bytes:
        """A hash of what it does."""
        digest = hashlib.sha256(self.table.tobytes() + self.final.tobytes())
        digest.update(repr((self.controls, self.start)).encode())
        return digest.digest()

    @cached_property
    def sparse(self) -> Sparse:
        """The same by ranges, which needs the start to be state 0."""
        rows: list[Row] = []
        for values in self.table:
            starts = np.flatnonzero(np.diff(values, prepend=-2))
            ends = np.append(starts[1:], len(values)) - 1
            found = zip(starts.tolist(), ends.tolist(), values[starts].tolist(), strict=True)
            rows.append([edge for edge in found if edge[2] >= 0])
        return Sparse(rows, self.final.tolist())

    @cached_property
    def _rows(self) -> list[list[int]]:
        return self.table.tolist()


@dataclass(frozen=True)
class Sparse:
    """An automaton by the ranges of its rows; the start is state 0, and no row means empty."""

    rows: list[Row]
    final: list[bool]

    def dense(self, width: int) -> NDArray[np.int32]:
        """The table [Q, width], -1 where there is no edge."""
        table = np.full((len(self.rows), width), -1, dtype=np.int32)
        edges = [
            (state * width + low, high - low + 1, target)
            for state, row in enumerate(self.rows)
            for low, high, target in row
        ]
        if edges:
            firsts, lengths, targets = np.array(edges, dtype=np.int64).T
            offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            table.reshape(-1)[np.repeat(firsts, lengths) + offsets] = np.repeat(targets, lengths)
        return table


def explore(
    start: Thing, expand: Callable[[Thing, Callable[[Thing], int]], tuple[Row, bool]]
) -> Sparse:
    """The automaton of everything that is reached from a start.

    `expand(thing, number)` gives a thing's row and whether it is final; it calls `number` for the
    number of each thing that it leads to.

    Raises:
        ConstraintError: there are more than `MOST_STATES` things.
    """
    numbers: dict[Thing, int] = {start: 0}
    waiting = [start]

    def number(thing: Thing) -> int:
        known = numbers.setdefault(thing, len(waiting))
        if known == len(waiting):
            waiting.append(thing)
        return known

    rows: list[Row] = []
    final: list[bool] = []
    while len(rows) < len(waiting):
        if len(rows) == MOST_STATES:
            raise ConstraintError(
                f"this language needs an automaton of more than {MOST_STATES} states;"
                " lower its bounds (lengths, repetitions)"
            )
        row, is_final = expand(waiting[len(rows)], number)
        rows.append(joined(row))
        final.append(is_final)
    return Sparse(rows, final)


def joined(row: Row) -> Row:
    """A sorted row whose neighbouring ranges with one target are one range."""
    short: Row = []
    for low, high, target in row:
        if short and short[-1][2] == target and short[-1][1] + 1 == low:
            short[-1] = (short[-1][0], high, target)
        else:
            short.append((low, high, target))
    return short


def intersect(first: Sparse, second: Sparse) -> Sparse:
    """What both accept."""
    if not first.rows or not second.rows:
        return Sparse([], [])

    def expand(pair: tuple[int, int], number: Callable[[tuple[int, int]], int]) -> tuple[Row, bool]:
        one, other = pair
        row: Row = []
        for low, high, left, right in _overlaps(first.rows[one], second.rows[other]):
            row.append((low, high, number((left, right))))
        return row, first.final[one] and second.final[other]

    return trim(explore((0, 0), expand))


def subtract(whole: Sparse, part: Sparse) -> Sparse:
    """What the whole accepts and the part does not."""
    if not whole.rows or not part.rows:
        return whole

    def expand(pair: tuple[int, int], number: Callable[[tuple[int, int]], int]) -> tuple[Row, bool]:
        one, other = pair
        if other < 0:
            return [
                (low, high, number((target, -1))) for low, high, target in whole.rows[one]
            ], whole.final[one]
        row: Row = []
        beyond: Row = []  # the part's row with its gaps filled by -1
        at = 0
        for low, high, target in part.rows[other]:
            if at < low:
                beyond.append((at, low - 1, -1))
            beyond.append((low, high, target))
            at = high + 1
        beyond.append((at, 1 << 30, -1))
        for low, high, left, right in _overlaps(whole.rows[one], beyond):
            row.append((low, high, number((left, right))))
        return row, whole.final[one] and not part.final[other]

    return trim(explore((0, 0), expand))


def _overlaps(first: Row, second: Row) -> Iterable[tuple[int, int, int, int]]:
    """Ranges that are in both rows, with both targets."""
    i = j = 0
    while i < len(first) and j < len(second):
        low, high = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if low <= high:
            yield low, high, first[i][2], second[j][2]
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1


def trim(automaton: Sparse) -> Sparse:
    """Without the states that reach no final one; all states are reachable."""
    before = _sources(automaton.rows)
    alive = list(automaton.final)
    waiting = [state for state, is_final in enumerate(alive) if is_final]
    while waiting:
        for source in before[waiting.pop()]:
            if not alive[source]:
                alive[source] = True
                waiting.append(source)
    if all(alive):
        return automaton
    if not alive[0]:
        return Sparse([], [])
    numbers, count = [-1] * len(alive), 0
    for state, lives in enumerate(alive):
        if lives:
            numbers[state] = count
            count += 1
    return Sparse(
        [
            [(low, high, numbers[target]) for low, high, target in row if alive[target]]
            for state, row in enumerate(automaton.rows)
            if alive[state]
        ],
        [final for state, final in enumerate(automaton.final) if alive[state]],
    )


def _sources(rows: list[Row]) -> list[list[int]]:
    """The states that lead to each state."""
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for target in {target for _, _, target in row}:
            before[target].append(state)
    return before


def minimised(automaton: Sparse) -> Sparse:
    """The smallest automaton of the same language; the given one is trimmed.

    Partition refinement by signatures. When a block splits, its largest part keeps the block's
    number and only the states that lead to the others are looked at again, so that a chain of n
    counted characters costs n steps and not n².
    """
    if len(automaton.rows) < 2:
        return automaton
    rows = _columns(automaton)
    before = _sources(automaton.rows)
    block = [0] * len(rows) + [-1]  # the last one is for target -1
    members: list[set[int]] = [set(range(len(rows)))]
    shapes: dict[object, list[int]] = {}
    for state, row in enumerate(rows):
        shape = (automaton.final[state], bytes(target >= 0 for target in row))
        shapes.setdefault(shape, []).append(state)
    _split(0, list(shapes.values()), block, members)
    changed = list(range(len(rows)))
    while changed:
        groups: dict[int, dict[tuple[int, ...], list[int]]] = {}
        for state in {source for target in changed for source in before[target]}:
            if len(members[block[state]]) > 1:
                signature = tuple([block[target] for target in rows[state]])
                groups.setdefault(block[state], {}).setdefault(signature, []).append(state)
        changed = []
        for number, parts in groups.items():
            changed += _split(number, list(parts.values()), block, members)
    return _quotient(automaton, block)


def _split(
    number: int, parts: list[list[int]], block: list[int], members: list[set[int]]
) -> list[int]:
    """Split parts off a block, in which the largest remains; the states whose block changed."""
    rest = len(members[number]) - sum(len(part) for part in parts)
    largest = max(parts, key=len)
    if rest < len(largest):
        parts.remove(largest)
        if rest:
            parts.append(list(members[number].difference(largest, *parts)))
    moved: list[int] = []
    for part in parts:
        members[number].difference_update(part)
        for state in part:
            block[state] = len(members)
        members.append(set(part))
        moved += part
    return moved


def _columns(automaton: Sparse) -> list[list[int]]:
    """The rows over classes of symbols that lead alike from every state."""
    cuts = {low for row in automaton.rows for low, _, _ in row}
    cuts |= {high + 1 for row in automaton.rows for _, high, _ in row}
    starts = sorted(cuts)
    table = automaton.dense(starts[-1])[:, starts[:-1]] if len(starts) > 1 else None
    if table is None:
        return [[] for _ in automaton.rows]
    weights = np.random.default_rng(0).integers(1, 2**63, size=len(table), dtype=np.uint64)
    with np.errstate(over="ignore"):
        prints = ((table + 1).astype(np.uint64) * weights[:, None]).sum(axis=0, dtype=np.uint64)
    _, firsts = np.unique(prints, return_index=True)
    return table[:, firsts].tolist()


def _quotient(automaton: Sparse, block: list[int]) -> Sparse:
    """One state for each block, the start's first, in the order in which they are reached."""
    representative: dict[int, int] = {}
    for state, number in enumerate(block[:-1]):
        representative.setdefault(number, state)
    if len(representative) == len(automaton.rows):
        return automaton

    def expand(number_of_block: int, number: Callable[[int], int]) -> tuple[Row, bool]:
        state = representative[number_of_block]
        row = [(low, high, number(block[target])) for low, high, target in automaton.rows[state]]
        return row, automaton.final[state]

    return explore(block[0], expand)


def minimise(dfa: Dfa) -> Dfa:
    """The smallest automaton of the same language."""
    return finished(minimised(dfa.sparse), dfa.controls)


def finished(automaton: Sparse, controls: tuple[str, ...]) -> Dfa:
    """The dense form."""
    return Dfa(
        automaton.dense(BYTES + len(controls)), np.array(automaton.final, dtype=bool), controls
    )
