"""How sure an answer's values are: the mean of their tokens' posteriors.

A value's tokens are those that touch it; of a string, what stands between its quotes and the quote
that ends it, for a doubt about where it ends is a doubt about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from json import JSONDecoder

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = JSONDecoder().raw_decode


def confidence_of(text: str, sizes: Sequence[int], posteriors: Sequence[float]) -> dict[str, float]:
    """The confidence of every scalar of a JSON text, by its JSON pointer (RFC 6901), in [0, 1].

    `sizes` are the bytes of its tokens, `posteriors` how sure each one was; tokens of something
    else may stand before.
    """
    starts = list(accumulate(sizes, initial=len(text.encode()) - sum(sizes)))
    place = [0, *accumulate(len(sign.encode()) for sign in text)]  # of each character, in bytes
    found: dict[str, float] = {}
    token = 0
    for pointer, start, end in scalars(text):
        while starts[token + 1] <= place[start]:
            token += 1
        last = token
        while last + 1 < len(sizes) and starts[last + 1] < place[end]:
            last += 1
        own = posteriors[token : last + 1]
        found[pointer] = sum(own) / len(own)
    return found


def scalars(text: str) -> Iterator[tuple[str, int, int]]:
    """The scalars of a JSON text in its order: pointer, first character, and the one behind the
    last; a string's begins behind its opening quote."""
    yield from _scalars(text, _skip(text, 0), "")


def _scalars(text: str, at: int, pointer: str) -> Iterator[tuple[str, int, int]]:
    """The scalars of the value that begins at a place."""
    if text[at] not in "{[":
        _, end = _decode(text, at)
        yield pointer, at + (text[at] == '"'), end
        return
    named, number = text[at] == "{", 0
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key = str(number)
        if named:
            name, at = _decode(text, at)
            key = name.replace("~", "~0").replace("/", "~1")
            at = _skip(text, _skip(text, at) + 1)
        yield from _scalars(text, at, f"{pointer}/{key}")
        _, at = _decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
        number += 1


def _skip(text: str, at: int) -> int:
    """The next place that is no white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at
