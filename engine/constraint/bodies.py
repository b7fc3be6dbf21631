"""What stands between the quotes of a string, and how the tokens of a vocabulary move in it.

Every schema has strings, and in a string nearly every token may stand. So a body is lifted to a
vocabulary once, apart from what follows it, and every copy of it in any automaton shares the
result: the tokens that stay in it, by where they lead and how many characters they bring, and the
places in the vocabulary's trie where it is left by its closing quote.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..vocabulary import Trie, Vocabulary
from .dfa import Dfa

Integers = NDArray[np.int64]
QUOTE_BYTE = 34
_CACHE_SIZE = 256
MOST_COUNTED = 16
"""Where characters are counted, a token with more of them is not used."""


@dataclass(frozen=True, eq=False)
class Body:
    """Texts of characters (`dfa`, over bytes, whose final states are where a character ends), of
    any length or of `counted` = least and most characters (`None`: without bound), and what closes
    it: a quote (a byte), a control token, or something else."""

    dfa: Dfa
    closing: Literal["quote", "control", "other"]
    counted: tuple[int, int | None] | None = None

    def level_after(self, level: int, ends_character: bool) -> int | None:
        """The count after one more byte, or `None` where there may be no more characters."""
        if self.counted is None or not ends_character:
            return level
        least, most = self.counted
        if most is None:
            return min(level + 1, least)
        return level + 1 if level < most else None

    def may_end(self, level: int) -> bool:
        """Whether the body may end after so many characters."""
        return self.counted is None or level >= self.counted[0]


@dataclass(frozen=True)
class Moves:
    """How tokens move from the states of a body: `stay` are runs of trie nodes (the tokens' ends)
    that lead from `inner` to `to` with `characters` more; `leave` are trie nodes right behind the
    closing quote, reached from `inner` after `characters` more."""

    stay: tuple[Stay, ...]
    leave_inner: Integers  # [X] sorted
    leave_characters: Integers  # [X]
    leave_node: Integers  # [X]

    @cached_property
    def by_inner(self) -> dict[int, tuple[Stay, ...]]:
        """The runs of each state."""
        found: dict[int, list[Stay]] = {}
        for one in self.stay:
            found.setdefault(one.inner, []).append(one)
        return {inner: tuple(runs) for inner, runs in found.items()}


@dataclass(frozen=True, eq=False)
class Stay:
    """Tokens that stay in a body, as trie nodes [N]."""

    inner: int
    to: int
    characters: int
    nodes: Integers


_lifted: OrderedDict[tuple[int, bool, bool, str], tuple[Dfa, Moves]] = OrderedDict()


def moves_of(body: Body, vocabulary: Vocabulary) -> Moves:
    """The moves of a body's automaton over a vocabulary; the last few hundred are kept."""
    counts = body.counted is not None
    quoted = body.closing == "quote"
    key = (id(body.dfa), quoted, counts, vocabulary.fingerprint)
    if key not in _lifted:
        moves = _moves(body.dfa, vocabulary.trie, quoted=quoted, counts=counts)
        _lifted[key] = (body.dfa, moves)  # the automaton is kept, so its id stays its own
        if len(_lifted) > _CACHE_SIZE:
            _lifted.popitem(last=False)
    _lifted.move_to_end(key)
    return _lifted[key][1]


def _moves(dfa: Dfa, trie: Trie, *, quoted: bool, counts: bool) -> Moves:
    size = len(dfa.final)
    inner = np.arange(size)
    state, node, characters = inner, np.zeros(size, np.int64), np.zeros(size, np.int64)
    stays: list[tuple[Integers, ...]] = []
    leaves: list[tuple[Integers, ...]] = []
    while len(node):
        owner, node, byte = trie.children(node)
        inner, state, characters = inner[owner], state[owner], characters[owner]
        following = dfa.table[state, byte].astype(np.int64)
        if quoted:
            out = (byte == QUOTE_BYTE) & dfa.final[state]
            leaves.append((inner[out], characters[out], node[out]))
        on = following >= 0
        inner, node, state = inner[on], node[on], following[on]
        characters = characters[on] + (dfa.final[state] if counts else 0)
        near = characters <= MOST_COUNTED
        inner, node, state, characters = inner[near], node[near], state[near], characters[near]
        ends = trie.ends[node]
        stays.append((inner[ends], state[ends], characters[ends], node[ends]))
    origin, to, more, nodes = (np.concatenate(column) for column in zip(*stays, strict=True))
    key = ((origin * size + to) * (MOST_COUNTED + 1) + more).astype(np.int32)
    order = np.argsort(key, kind="stable")
    origin, to, more, nodes = origin[order], to[order], more[order], nodes[order]
    changed = np.flatnonzero(np.diff(key[order])) + 1
    starts = np.append(0, changed) if len(nodes) else changed
    stay = tuple(
        Stay(int(origin[first]), int(to[first]), int(more[first]), run)
        for first, run in zip(starts.tolist(), np.split(nodes, starts[1:]), strict=True)
    )
    if not leaves:
        empty = np.empty(0, np.int64)
        return Moves(stay, empty, empty, empty)
    origin, more, nodes = (np.concatenate(column) for column in zip(*leaves, strict=True))
    order = np.argsort(origin, kind="stable")
    return Moves(stay, origin[order], more[order], nodes[order])
