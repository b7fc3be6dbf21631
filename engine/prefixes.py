"""What was encoded of earlier prompts: a new one that begins alike takes it over.

Whole chunks only (`rows.CHUNK`): a chunk that is kept is, to the bit, what it would be if it were
computed anew, so that no answer depends on what was asked before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from .rows import CHUNK, Layers, Rows


class Prefixes:
    """The keys and values of the last prompts, at most `most_tokens` of them in all; the one that
    was not of use for longest goes first."""

    def __init__(self, most_tokens: int) -> None:
        self._most = most_tokens
        self._held: OrderedDict[tuple[int, ...], Layers] = OrderedDict()

    def begin(self, rows: Rows, row: int, tokens: Sequence[int]) -> int:
        """Begin an empty row with what is held of its tokens; how many that are. The last token is
        never among them: its state is wanted."""
        best, length = None, 0
        for held in self._held:
            common = _common(held, tokens)
            if common > length:
                best, length = held, common
        if best is not None:
            self._held.move_to_end(best)
            rows.put(row, self._held[best], length)
        return length

    def keep(self, rows: Rows, row: int, tokens: Sequence[int]) -> None:
        """Hold the whole chunks of a prompt that a row has read."""
        length = len(tokens) // CHUNK * CHUNK
        if not length or length > self._most:
            return
        whole = tuple(tokens[:length])
        if any(_common(held, whole) == length for held in self._held):
            return
        for shorter in [held for held in self._held if _common(whole, held) == len(held)]:
            del self._held[shorter]
        self._held[whole] = rows.copied(row, length)
        while sum(map(len, self._held)) > self._most:
            self._held.popitem(last=False)


def _common(held: Sequence[int], tokens: Sequence[int]) -> int:
    """How many tokens both begin with, in whole chunks, short of the last one of `tokens`."""
    most = min(len(held), len(tokens))
    if len(held) >= len(tokens):
        most = len(tokens) - 1
    length = 0
    while length + CHUNK <= most and held[length : length + CHUNK] == tuple(
        tokens[length : length + CHUNK]
    ):
        length += CHUNK
    return length
