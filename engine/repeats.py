"""What a text has said before: where a canvas copies its prompt, the prompt is the best draft.

An answer about a document repeats much of it. Where the last tokens written stand in the prompt
too, what follows them there is a draft that costs no denoising step, and is checked like any other
(arXiv 2304.04487).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

_LEAST, _MOST = 2, 4  # tokens that must agree, and that are compared


class Repeats:
    """The places of a prompt, by the tokens before them."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._prompt = prompt
        self._places: dict[tuple[int, ...], list[int]] = {}
        for place in range(_LEAST, len(prompt)):
            self._places.setdefault(tuple(prompt[place - _LEAST : place]), []).append(place)

    def behind(self, known: Sequence[int], most: int) -> Sequence[int]:
        """At most so many tokens that follow the last known ones in the prompt, up to an image:
        where most of them agree, and there the last time."""
        places = self._places.get(tuple(known[-_LEAST:]), [])
        best = max(places, key=lambda place: (self._agreeing(known, place), place), default=None)
        found = [] if best is None else self._prompt[best : best + most]
        return list(takewhile(lambda token: token >= 0, found))

    def _agreeing(self, known: Sequence[int], place: int) -> int:
        count = _LEAST
        while count < min(_MOST, len(known), place) and (
            known[-count - 1] == self._prompt[place - count - 1]
        ):
            count += 1
        return count
