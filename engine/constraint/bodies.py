"""What stands between the quotes of a string, and how the tokens of a vocabulary move in it.

Every schema has strings, and in a string nearly every token may stand. So a body is lifted to a
vocabulary once, apart from what follows it, and every copy of it in any automaton shares the
result: what the tokens that stay in it do, by where they lead and how many characters they bring,
and the places in the vocabulary's trie where it is left by its closing quote.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..vocabulary import QUOTE_BYTE, Vocabulary
from .dfa import BYTES, Dfa
from .walk import walk

Integers = NDArray[np.int64]
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


@dataclass(frozen=True, eq=False)
class Moves:
    """How strings move in a body, by the number of what they do: `stays` are from state `inner` to
    `to` with `characters` more; `leaves`, of strings that end with the closing quote, are from
    `inner` after `characters` more."""

    end_way: NDArray[np.int32]  # [E] the number at each end of the trie
    quote_way: NDArray[np.int32]  # the number at each of the trie's nodes behind quotes
    count: int
    """How many numbers there are; number 0 leads nowhere."""
    stays: Places  # `number` ascending
    leaves: Places  # `inner` ascending, `to` not used

    @cached_property
    def runs(self) -> tuple[Places, Integers]:
        """What stays do, each once (its `number` is its place), `inner` ascending; and which one
        each of the stays does."""
        stays = self.stays
        key = (stays.inner * (1 + stays.to.max(initial=0)) + stays.to) * (1 + MOST_COUNTED)
        _, firsts, run = np.unique(key + stays.characters, return_index=True, return_inverse=True)
        runs = Places(
            np.arange(len(firsts)), stays.inner[firsts], stays.to[firsts], stays.characters[firsts]
        )
        return runs, run


@dataclass(frozen=True, eq=False)
class Places:
    """Columns [M]: `number`, from state `inner` to state `to` with `characters` more."""

    number: Integers
    inner: Integers
    to: Integers
    characters: Integers


def moves_of(body: Body, vocabulary: Vocabulary) -> Moves:
    """The moves of a body's automaton over a vocabulary; the last few hundred are kept."""
    quoted, counts = body.closing == "quote", body.counted is not None
    return _moves(body.dfa, vocabulary, quoted=quoted, counts=counts)


@lru_cache(maxsize=256)
def _moves(dfa: Dfa, vocabulary: Vocabulary, *, quoted: bool, counts: bool) -> Moves:
    """The walk of an automaton with a state for each state and number of characters, and one more
    for each number of characters behind the closing quote."""
    trie, size, levels = vocabulary.trie, len(dfa.final), 1 + MOST_COUNTED if counts else 1
    inside = dfa.table[:, :BYTES].astype(np.int32)
    ends = np.append(dfa.final, False)[inside] if counts else np.zeros_like(inside, bool)
    behind = size * levels
    table = np.full((behind + levels, BYTES), -1, np.int32)
    for level in range(levels):
        to = np.where(inside >= 0, inside + size * (level + ends), -1)
        to[to >= behind] = -1
        if quoted:
            to[dfa.final, QUOTE_BYTE] = behind + level
        table[size * level : size * (level + 1)] = to
    found = walk(trie, table, np.arange(size))
    functions = found.functions
    number, inner, target = functions.pairs(np.arange(len(functions)))
    end_way = found.way[trie.ends]
    spelled = np.bincount(end_way, minlength=len(functions)) > 0
    stays = np.flatnonzero((target < behind) & spelled[number])
    leaves = np.flatnonzero(target >= behind)
    leaves = leaves[np.argsort(inner[leaves], kind="stable")]
    to = target[stays]
    return Moves(
        end_way,
        found.way[trie.behind_quotes],
        len(functions),
        Places(number[stays], inner[stays], to % size, to // size),
        Places(number[leaves], inner[leaves], np.full(len(leaves), -1), target[leaves] - behind),
    )
