"""An automaton under construction, from its end to its start.

A state is a number. Every part of a text is added in front of the state that follows it, so two
parts with the same continuation share it. States may also be joined without a symbol;
`determinise` removes these and trims what cannot be finished.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np

from .bodies import Body
from .dfa import BYTES, Dfa, Place, Sparse

Edge = tuple[int, int, int]
"""First symbol, last symbol, target."""


class TooLarge(Exception):  # noqa: N818 - a signal inside the compiler, never shown
    """The automaton has more states than it may have."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector: a compilation makes many small tuples and no cycles, and the
    collector took two thirds of its time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Machine:
    """States with edges over bytes and control symbols; state 0 has no way on."""

    def __init__(self, controls: tuple[str, ...], most_states: int) -> None:
        self.controls = controls
        self._most = most_states
        self._edges: list[list[Edge]] = [[]]
        self._free: list[list[int]] = [[]]
        self._final: set[int] = set()
        self._literals: dict[tuple[bytes, int], int] = {}
        self._either: dict[tuple[int, ...], int] = {}
        self._places: dict[int, Place] = {}
        self._copies = 0

    def state(self) -> int:
        """A new state."""
        if len(self._edges) > 4 * self._most:
            raise TooLarge
        self._edges.append([])
        self._free.append([])
        return len(self._edges) - 1

    def end(self) -> int:
        """A new final state."""
        state = self.state()
        self._final.add(state)
        return state

    def edge(self, source: int, low: int, high: int, target: int) -> None:
        """Add a range of symbols."""
        if target:
            self._edges[source].append((low, high, target))

    def free(self, source: int, target: int) -> None:
        """Let a state do what another does."""
        if target:
            self._free[source].append(target)

    def either(self, *targets: int) -> int:
        """A state that does what any of some states does."""
        kept = tuple(sorted(set(targets) - {0}))
        if len(kept) < 2:
            return kept[0] if kept else 0
        if kept not in self._either:
            self._either[kept] = self.state()
            self._free[self._either[kept]] += kept
        return self._either[kept]

    def literal(self, text: bytes, target: int) -> int:
        """A text in front of a state."""
        if not target:
            return 0
        for end in range(len(text), 0, -1):
            key = (text[end - 1 : end], target)
            state = self._literals.get(key)
            if state is None:
                state = self._literals[key] = self.state()
                self._edges[state].append((text[end - 1], text[end - 1], target))
            target = state
        return target

    def control(self, name: str, target: int) -> int:
        """A control token in front of a state."""
        if not target:
            return 0
        state = self.state()
        symbol = BYTES + self.controls.index(name)
        self._edges[state].append((symbol, symbol, target))
        return state

    def insert(self, dfa: Dfa, target: int) -> int:
        """The texts of an automaton in front of a state. Its control tokens are this machine's too,
        and what it knows of its string bodies is kept."""
        if not target or dfa.is_empty:
            return 0
        rows, final = dfa.sparse.rows, dfa.sparse.final
        shift = [BYTES + self.controls.index(name) for name in dfa.controls]
        first = self._reserve(len(rows))
        for state, row in enumerate(rows):
            edges = self._edges[first + state]
            for low, high, to in row:
                if low < BYTES:
                    edges.append((low, min(high, BYTES - 1), first + to))
                for symbol in shift[max(low, BYTES) - BYTES : max(high + 1, BYTES) - BYTES]:
                    edges.append((symbol, symbol, first + to))
            if final[state]:
                self._free[first + state].append(target)
        for state, place in enumerate(dfa.places):
            if place is not None:
                self._places[first + state] = replace(place, copy=self._copies + place.copy)
        self._copies += max((place.copy for place in dfa.places if place is not None), default=0)
        return first + dfa.start

    def insert_body(self, body: Body, target: int) -> int:
        """The texts of a string body in front of what closes it; its states are remembered."""
        if not target or body.dfa.is_empty:
            return 0
        rows, final = body.dfa.sparse.rows, body.dfa.sparse.final
        size = len(rows)
        levels = 1 if body.counted is None else (body.counted[1] or body.counted[0]) + 1
        first = self._reserve(size * levels)
        copy = self._copies = self._copies + 1
        for level in range(levels):
            base = first + level * size
            for inner, row in enumerate(rows):
                edges = self._edges[base + inner]
                for low, high, to in row:
                    following = body.level_after(level, final[to])
                    if following is not None:
                        edges.append((low, high, first + following * size + to))
                if final[inner] and body.may_end(level):
                    self._free[base + inner].append(target)
                if body.closing != "other":
                    self._places[base + inner] = Place(body, copy, level, inner)
        return first + body.dfa.start

    def _reserve(self, count: int) -> int:
        """Make some states at once; returns the first."""
        first = len(self._edges)
        if first + count > 4 * self._most:
            raise TooLarge
        self._edges.extend([] for _ in range(count))
        self._free.extend([] for _ in range(count))
        return first

    def is_finished(self, start: int) -> bool:
        """Whether some text leads from a state to a final one."""
        found, waiting = {start}, [start]
        while waiting:
            state = waiting.pop()
            if state in self._final:
                return True
            for target in (*self._free[state], *(edge[2] for edge in self._edges[state])):
                if target not in found:
                    found.add(target)
                    waiting.append(target)
        return False

    def determinise(self, start: int) -> Dfa:
        """The automaton from a state; empty where no text reaches a final state.

        Raises:
            TooLarge: it has too many states.
        """
        closures: dict[int, frozenset[int]] = {}
        edges_of, free, final, places = self._edges, self._free, self._final, self._places

        def closure(state: int) -> frozenset[int]:
            """The states that matter among those reached without a symbol."""
            known = closures.get(state)
            if known is None:
                found, waiting = {state}, [state]
                while waiting:
                    for target in free[waiting.pop()]:
                        if target not in found:
                            found.add(target)
                            waiting.append(target)
                known = frozenset(
                    one for one in found if edges_of[one] or one in final or one in places
                )
                closures[state] = known
            return known

        first = closure(start)
        numbers, subsets = {first: 0}, [first]
        rows: list[list[Edge]] = []
        while len(rows) < len(subsets):
            if len(subsets) > self._most:
                raise TooLarge
            subset = subsets[len(rows)]
            if len(subset) == 1:
                (only,) = subset
                parts = _separate(edges_of[only])
            else:
                parts = _separate([edge for state in subset for edge in edges_of[state]])
            row: list[Edge] = []
            for low, high, targets in parts:
                if len(targets) == 1:
                    reached = closure(targets[0])
                else:
                    reached = frozenset().union(*(closure(target) for target in targets))
                number = numbers.get(reached)
                if number is None:
                    number = numbers[reached] = len(subsets)
                    subsets.append(reached)
                row.append((low, high, number))
            rows.append(row)
        ends = [number for number, subset in enumerate(subsets) if not final.isdisjoint(subset)]
        where = [self._place(subset, closure) for subset in subsets]
        return _assembled(rows, ends, where, self.controls)

    def _place(
        self, subset: frozenset[int], closure: Callable[[int], frozenset[int]]
    ) -> Place | None:
        """Where a state stands in a body: what it does is what one state of the body does."""
        inside = [state for state in subset if state in self._places]
        if len(inside) == 1 and closure(inside[0]) == subset:
            return self._places[inside[0]]
        return None


def _assembled(
    rows: list[list[Edge]], ends: list[int], places: list[Place | None], controls: tuple[str, ...]
) -> Dfa:
    """The automaton of numbered rows, without the states that reach no end; the first is 0."""
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for _, _, target in row:
            before[target].append(state)
    alive, waiting = set(ends), list(ends)
    while waiting:
        for state in before[waiting.pop()]:
            if state not in alive:
                alive.add(state)
                waiting.append(state)
    width = BYTES + len(controls)
    if 0 not in alive:
        return Dfa(np.empty((0, width), np.int32), np.empty(0, bool), controls)
    kept = sorted(alive)
    numbers = dict(zip(kept, range(len(kept)), strict=True))
    small = [
        [(low, high, numbers[target]) for low, high, target in rows[state] if target in numbers]
        for state in kept
    ]
    ended = set(ends)
    sparse = Sparse(small, [state in ended for state in kept])
    return Dfa(
        sparse.dense(width),
        np.array(sparse.final),
        controls,
        places=tuple(places[state] for state in kept),
    )


def _separate(edges: list[Edge]) -> list[tuple[int, int, tuple[int, ...]]]:
    """Ranges that do not overlap, each with all its targets."""
    if len(edges) == 1:
        low, high, target = edges[0]
        return [(low, high, (target,))]
    ordered = sorted(edges)
    if all(one[1] < other[0] for one, other in pairwise(ordered)):
        return [(low, high, (target,)) for low, high, target in ordered]
    cuts = sorted({edge[0] for edge in edges} | {edge[1] + 1 for edge in edges})
    found = []
    for low, after in pairwise(cuts):
        targets = tuple(dict.fromkeys(to for lo, hi, to in ordered if lo <= low <= hi))
        if targets:
            found.append((low, after - 1, targets))
    return found
