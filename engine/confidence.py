"""How sure the model was of each scalar of a JSON answer.

Every committed token has a posterior: its probability among the tokens that the constraint let
stand in its place, 1 where that was certain. A scalar's confidence is the mean over the tokens
that have a byte of it. A string's quotes belong to it: whether it is one and not null is a doubt of
the first, where it ends one of the last. (Of 113 real receipts the mean finds the wrong values with
an AUROC of 0.83, 0.86 within a field; without the quotes 0.80 and 0.83, by the least token 0.85.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SPACE = re.compile(rb"[ \t\n\r]*")
_SCALAR = re.compile(rb'"(?:[^"\\]|\\.)*"|[^][{},:" \t\n\r]+')


@dataclass(frozen=True)
class Scalar:
    """A scalar's JSON pointer and where it stands in its text, in bytes."""

    pointer: str
    start: int
    end: int


def scalar_confidence(
    text: str, sizes: NDArray[np.int64], posteriors: Sequence[float]
) -> Mapping[str, float]:
    """The confidence of every scalar of a JSON text that ends with tokens of these sizes, in bytes,
    and these posteriors; what stands before it is left out."""
    spelled = text.encode()
    ends = len(spelled) - sizes[::-1].cumsum()[::-1] + sizes
    values = np.array(posteriors)
    found = {}
    for scalar in scalars(spelled):
        first = int(np.searchsorted(ends, scalar.start, side="right"))
        last = int(np.searchsorted(ends, scalar.end))
        found[scalar.pointer] = float(values[first : last + 1].mean())
    return found


def scalars(text: bytes) -> list[Scalar]:
    """The scalars of a JSON text, in its order."""
    return list(_scalars(text, _behind_space(text, 0), ""))


def _scalars(text: bytes, at: int, pointer: str) -> Generator[Scalar, None, int]:
    """Those of the value at a place; returns the place behind it."""
    opening = text[at : at + 1]
    if opening not in (b"{", b"["):
        end = _lexeme(text, at)
        yield Scalar(pointer, at, end)
        return end
    at, number = _behind_space(text, at + 1), 0
    while text[at : at + 1] not in (b"}", b"]"):
        name = str(number)
        if opening == b"{":
            end = _lexeme(text, at)
            name = json.loads(text[at:end]).replace("~", "~0").replace("/", "~1")
            at = _behind_space(text, _behind_space(text, end) + 1)  # and the colon
        at = yield from _scalars(text, at, f"{pointer}/{name}")
        at = _behind_space(text, at)
        if text[at : at + 1] == b",":
            at = _behind_space(text, at + 1)
        number += 1
    return at + 1


def _lexeme(text: bytes, at: int) -> int:
    found = _SCALAR.match(text, at)
    assert found is not None, f"no JSON at byte {at}"
    return found.end()


def _behind_space(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()
