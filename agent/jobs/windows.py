"""A text that is longer than what the model reads, in windows that overlap.

A window ends where a paragraph, a line or at least a word does, as late as it can, and the next one
begins some lines before that end: what stands at a cut is whole in one of the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

OVERLAP = 0.1
"""The share of a window that the next one shows again."""

_ENDS = (re.compile(r"\n[ \t]*\n"), re.compile(r"\n"), re.compile(r"\s"))
"""Where a window may end, the best places first."""

_LATE = 0.6
"""An end of the better kind is taken where it leaves the window at least this part of its size."""


@dataclass(frozen=True)
class Window:
    """A part of a text, and the character it begins at."""

    start: int
    text: str


def windows(
    text: str, length: Callable[[str], int], limit: int, overlap: float = OVERLAP
) -> list[Window]:
    """As few windows as it takes, each at most `limit` long by `length` (in tokens, say, where a
    text is no longer than another that it is part of).

    Raises:
        ValueError: not even one character fits in the limit.
    """
    found: list[Window] = []
    start = 0
    while True:
        size = _longest(text, start, length, limit)
        if size == len(text) - start:
            found.append(Window(start, text[start:]))
            return found
        end = start + _end(text[start : start + size])
        found.append(Window(start, text[start:end]))
        start = _next(text, start, end, overlap)


def _longest(text: str, start: int, length: Callable[[str], int], limit: int) -> int:
    """How many characters from `start` on fit."""
    rest = len(text) - start
    fits, not_fits = 0, 1
    while not_fits <= rest and length(text[start : start + not_fits]) <= limit:
        fits, not_fits = not_fits, not_fits * 2
    not_fits = min(not_fits, rest + 1)
    if rest and fits < rest and not_fits > rest and length(text[start:]) <= limit:
        return rest
    while not_fits - fits > 1:
        middle = (fits + not_fits) // 2
        if length(text[start : start + middle]) <= limit:
            fits = middle
        else:
            not_fits = middle
    if rest and not fits:
        raise ValueError(f"the limit of {limit} is too small for any text")
    return fits


def _end(window: str) -> int:
    """Where to end the window: as late as it can be and at the best kind of place."""
    for kind in _ENDS:
        ends = [match.end() for match in kind.finditer(window)]
        if ends and ends[-1] >= _LATE * len(window):
            return ends[-1]
    return len(window)


def _next(text: str, start: int, end: int, overlap: float) -> int:
    """Where the window behind `text[start:end]` begins: at a line or a word, if there is one in the
    share that is shown again, and always behind `start`."""
    earliest = max(start + 1, end - int((end - start) * overlap))
    for kind in (_ENDS[1], _ENDS[2]):
        if match := kind.search(text, earliest - 1, end):
            return max(match.end(), start + 1)
    return earliest
