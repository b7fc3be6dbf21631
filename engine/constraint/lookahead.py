"""What a language still leaves open from one of its states: the text that is certain, the few
texts there are, the most that can follow.

Over the byte automaton, so that it does not depend on how a vocabulary cuts the text.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .dfa import Dfa

Symbols = tuple[int, ...]
_MOST_STATES = 2048  # left in search of a meeting: a bound on the work


class Lookahead:
    """Answers for the states of one automaton; what it has found once it keeps."""

    def __init__(self, dfa: Dfa) -> None:
        self._dfa = dfa
        self._ways: dict[int, list[tuple[int, int]]] = {}
        self._targets: dict[int, frozenset[int]] = {}

    def ways(self, state: int) -> list[tuple[int, int]]:
        """The symbols that may follow a state, each with the state behind it."""
        if state not in self._ways:
            row = self._dfa.table[state]
            symbols = np.flatnonzero(row >= 0)
            self._ways[state] = list(zip(symbols.tolist(), row[symbols].tolist(), strict=True))
        return self._ways[state]

    def is_over(self, state: int) -> bool:
        """Whether nothing but the end can follow."""
        return bool(self._dfa.final[state]) and not self.ways(state)

    def certain(self, state: int) -> tuple[Symbols, int]:
        """The symbols that every text goes on with, and the state behind them."""
        symbols: list[int] = []
        while not self._dfa.final[state] and len(ways := self.ways(state)) == 1:
            symbol, state = ways[0]
            symbols.append(symbol)
        return tuple(symbols), state

    def alternatives(self, state: int, most: int) -> tuple[list[Symbols], int | None] | None:
        """The ways to the next state that every text passes, where there are two or more and at
        most `most`, and that state; or the whole texts and `None`, where there is no such state.

        Of the states reached so far the one farthest from an end is left first: a state that all
        must pass is nearer to an end than any that leads to it, so it waits for them all.
        """
        open_ends: dict[int | None, list[Symbols]] = {state: [()]}
        for _ in range(_MOST_STATES):
            farthest = max(open_ends, key=lambda one: -1 if one is None else self._distance[one])
            if len(open_ends) == 1 and len(open_ends[farthest]) > 1:
                return open_ends[farthest], farthest
            if farthest is None:
                return None  # a single text
            texts = open_ends.pop(farthest)
            if self._dfa.final[farthest]:
                open_ends[None] = open_ends.get(None, []) + texts
            for symbol, target in self.ways(farthest):
                further = [(*text, symbol) for text in texts]
                open_ends[target] = open_ends.get(target, []) + further
            if sum(map(len, open_ends.values())) > most:
                return None
        return None

    def longest(self, state: int, most: int) -> int | None:
        """The number of symbols in the longest text from a state, `None` for more than `most`."""
        reached, count = frozenset([state]), 0
        while reached := frozenset().union(*map(self._after, reached)):
            count += 1
            if count > most:
                return None
        return count

    def _after(self, state: int) -> frozenset[int]:
        if state not in self._targets:
            self._targets[state] = frozenset(target for _, target in self.ways(state))
        return self._targets[state]

    @cached_property
    def _distance(self) -> NDArray[np.int64]:
        """The fewest symbols from each state to the end of a text."""
        sources, symbols = np.nonzero(self._dfa.table >= 0)
        targets = self._dfa.table[sources, symbols]
        pairs = np.unique(np.stack([targets, sources], axis=1), axis=0)
        before: list[list[int]] = [[] for _ in self._dfa.final]
        for target, source in pairs.tolist():
            before[target].append(source)
        distance = np.where(self._dfa.final, 0, -1).astype(np.int64)
        waiting = deque(np.flatnonzero(self._dfa.final).tolist())
        while waiting:
            state = waiting.popleft()
            for source in before[state]:
                if distance[source] < 0:
                    distance[source] = distance[state] + 1
                    waiting.append(source)
        return distance
