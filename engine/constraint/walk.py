"""Where every string of a trie leads from all states of an automaton at once.

A string is a function from states to states, and of the many strings of a vocabulary most do the
same: in a string body `the` does what `and` does. So a walk numbers functions, and finds out once
what a function becomes by one more byte, however many strings it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..vocabulary import Trie

Integers = NDArray[np.int64]
Numbers = NDArray[np.int32]
_AT_ONCE = 1 << 18
"""So many pairs are worked on at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Functions:
    """Partial functions between states: function `f` takes `source[i]` to `target[i]` for `i` from
    `starts[f]` to `starts[f + 1]`."""

    starts: Integers  # [F + 1]
    source: Integers
    target: Integers

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, number: Integers, source: Integers, target: Integers, count: int) -> Functions:
        """Of pairs [M] in any order, `number` saying to which of `count` functions one belongs."""
        order = np.argsort(number, kind="stable")
        starts = np.searchsorted(number[order], np.arange(count + 1))
        return cls(starts, source[order], target[order])

    def pairs(self, chosen: Integers) -> tuple[Integers, Integers, Integers]:
        """The pairs of some functions [K]: the place of each in `chosen`, its source and target."""
        owner, place = spread(self.starts[chosen], self.starts[chosen + 1])
        return owner, self.source[place], self.target[place]


@dataclass(frozen=True, eq=False)
class Walk:
    """The function of every node of a trie, and the functions; number 0 leads nowhere. No two
    functions are the same."""

    way: Numbers  # [N]
    functions: Functions


def walk(
    trie: Trie,
    table: NDArray[np.int32],
    roots: Integers,
    joining: tuple[Integers, Functions] | None = None,
) -> Walk:
    """Walk the trie by `table[state, byte]` (-1: nowhere) from the states `roots` at its root.

    `joining` are walks that begin further down: for each node of `trie.behind_quotes` the number
    of a function that is added to the one of the node.
    """
    symbols, table = _symbols(table)
    known = _Known(table)
    way = np.zeros(len(trie.parent), np.int32)
    way[0] = known.numbered(np.zeros(len(roots), np.int64), roots, roots, 1)[0]
    nodes = trie.behind_quotes
    joins = np.searchsorted(nodes, trie.levels).tolist()
    for depth in range(1, len(trie.levels) - 1):
        first, last = trie.levels[depth], trie.levels[depth + 1]
        before = way[trie.parent[first:last]]
        alive = np.flatnonzero(before)
        if len(alive):
            way[first + alive] = known.after(before[alive], symbols[trie.byte[first + alive]])
        if joining is not None and joins[depth] < joins[depth + 1]:
            here = slice(joins[depth], joins[depth + 1])
            way[nodes[here]] = known.joined(way[nodes[here]], joining[0][here], joining[1])
    return Walk(way, known.functions())


class _Known:
    """The functions found so far, and what they become by one more symbol."""

    def __init__(self, table: NDArray[np.int32]) -> None:
        self._table = table
        self._numbers: dict[int, int] = {0: 0}  # by fingerprint; that of the empty one is 0
        self._starts = np.zeros(2, np.int64)
        self._source = np.empty(0, np.int64)
        self._target = np.empty(0, np.int64)
        self._size = 0
        self._next = np.full((1024, table.shape[1]), -1, np.int32)

    def functions(self) -> Functions:
        """All of them."""
        return Functions(self._starts, self._source[: self._size], self._target[: self._size])

    def after(self, numbers: Numbers, symbols: Integers) -> Numbers:
        """What functions [K] become by one more symbol each [K]."""
        width = self._table.shape[1]
        keys = numbers.astype(np.int64) * width + symbols
        wanted = self._first_of_each(keys[self._next.reshape(-1)[keys] < 0])
        if len(wanted):
            number, symbol = wanted // width, wanted % width
            total = np.cumsum(self._starts[number + 1] - self._starts[number])
            cuts = np.searchsorted(total, np.arange(_AT_ONCE, total[-1], _AT_ONCE)) + 1
            for part in np.split(np.arange(len(wanted)), cuts):
                owner, place = spread(self._starts[number[part]], self._starts[number[part] + 1])
                target = self._table[self._target[place], symbol[part][owner]]
                on = np.flatnonzero(target >= 0)
                found = self.numbered(owner[on], self._source[place[on]], target[on], len(part))
                self._next.reshape(-1)[wanted[part]] = found
        return self._next.reshape(-1)[keys]

    def _first_of_each(self, keys: Integers) -> Integers:
        """Keys that are not known yet [K], each once: of equal ones the one remains whose mark is
        not overwritten by another."""
        marks = -1 - np.arange(len(keys), dtype=np.int32)
        self._next.reshape(-1)[keys] = marks
        return keys[self._next.reshape(-1)[keys] == marks]

    def joined(self, numbers: Numbers, added: Integers, functions: Functions) -> Numbers:
        """What functions [K] are together with some others [K] from elsewhere."""
        pairs, place = np.unique(
            numbers.astype(np.int64) * len(functions) + added, return_inverse=True
        )
        own, other = (
            self.functions().pairs(pairs // len(functions)),
            functions.pairs(pairs % len(functions)),
        )
        owner, source, target = (np.concatenate(both) for both in zip(own, other, strict=True))
        order = np.argsort(owner, kind="stable")
        return self.numbered(owner[order], source[order], target[order], len(pairs))[place]

    def numbered(
        self, owner: Integers, source: Integers, target: NDArray[np.integer], count: int
    ) -> Numbers:
        """The numbers of `count` functions, known ones or new ones, given by their pairs: `owner`,
        ascending, says to which one a pair belongs."""
        ends = np.searchsorted(owner, np.arange(count + 1))
        prints = sums(scrambled(source * len(self._table) + target), ends)
        before, numbers = len(self._numbers), self._numbers
        found = np.array([numbers.setdefault(one, len(numbers)) for one in prints.tolist()])
        new = np.flatnonzero(found >= before)
        if len(new):
            _, firsts = np.unique(found[new], return_index=True)
            owners, place = spread(ends[new[firsts]], ends[new[firsts] + 1])
            self._append(source[place], target[place], np.bincount(owners, minlength=len(firsts)))
        return found.astype(np.int32)

    def _append(self, source: Integers, target: NDArray[np.integer], lengths: Integers) -> None:
        size = self._size + len(source)
        self._source = _roomy(self._source, size)
        self._target = _roomy(self._target, size)
        self._source[self._size : size] = source
        self._target[self._size : size] = target
        self._starts = np.append(self._starts, self._size + np.cumsum(lengths))
        self._size = size
        if len(self._numbers) > len(self._next):
            longer = np.full((2 * len(self._numbers), self._next.shape[1]), -1, np.int32)
            longer[: len(self._next)] = self._next
            self._next = longer


def _roomy(values: Integers, size: int) -> Integers:
    """The same values in an array of at least a size, with room to grow."""
    if size <= len(values):
        return values
    longer = np.empty(2 * size, np.int64)
    longer[: len(values)] = values
    return longer


def _symbols(table: NDArray[np.int32]) -> tuple[Integers, NDArray[np.int32]]:
    """Which bytes lead alike from everywhere: the symbol of each byte, and the symbols' table."""
    # three random sums of each column, as one product of matrices: of whole numbers below 2^53
    weights = np.random.default_rng(0).integers(0, 2**22, (3, len(table))).astype(np.float64)
    prints = weights @ table.astype(np.float64)
    _, firsts, symbols = np.unique(prints, axis=1, return_index=True, return_inverse=True)
    return symbols, np.ascontiguousarray(table[:, firsts])


def spread(starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """The numbers of some ranges [K], one after the other, and which range each is from."""
    counts = ends - starts
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) + np.repeat(starts - (np.cumsum(counts) - counts), counts)


def distinct(numbers: Integers) -> Integers:
    """The numbers, none of them negative, in order and each once. `np.unique` makes a hash table
    for it, which is slower where most are distinct."""
    ordered = np.sort(numbers)
    return ordered[np.flatnonzero(np.diff(ordered, prepend=-1))]


def sums(values: NDArray[np.uint64], starts: Integers) -> NDArray[np.uint64]:
    """The sums of neighbours: of `values[starts[k] : starts[k + 1]]`, [K] for K + 1 starts."""
    total = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values, out=total[1:])
    return total[starts[1:]] - total[starts[:-1]]


def scrambled(numbers: Integers) -> NDArray[np.uint64]:
    """A 64-bit fingerprint of each number (the finaliser of splitmix64). Sums of them tell sets
    apart: two that differ collide with a chance of 2^-64."""
    with np.errstate(over="ignore"):
        x = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
