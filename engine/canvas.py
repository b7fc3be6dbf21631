"""A canvas being written: the tokens at its beginning that are known.

What is certain under the constraint is known without the model; the rest is settled by whoever
writes the canvas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat, takewhile

from .course import Course, FreeCourse


@dataclass(frozen=True)
class Reads:
    """What a canvas reads as at a step: its tokens, of which the first are `known`, and how
    probable each is in its place, 1 for what is certain."""

    tokens: Sequence[int]
    known: int
    sure: Sequence[float]


class Canvas:
    """`length` positions, of which the first are `known`; `posteriors` says how probable each known
    token was among those that could stand in its place, 1 for what was certain."""

    def __init__(self, length: int, course: Course | FreeCourse) -> None:
        self.length = length
        self.course = course
        self.known: list[int] = []
        self.posteriors: list[float] = []
        self._take_certain()

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be written on it."""
        over = self.course.ended or not self.course.tokens_left
        return over or len(self.known) == self.length

    def answers(self) -> list[list[int]]:
        """The whole answers that are left, where they are few and each has room on this canvas."""
        words, ends = self.course.alternatives(), self.course.ends
        room = self.length - len(self.known)
        fitting = all(word[-1] in ends and len(word) <= room for word in words)
        return words if fitting else []

    def reads(self, tokens: Sequence[int], sure: Sequence[float]) -> Reads:
        """With tokens behind the known ones, as far as the budget goes."""
        left = self.course.tokens_left
        known = len(self.known)
        return Reads((*self.known, *tokens[:left]), known, (*self.posteriors, *sure[:left]))

    def settle(self, tokens: Iterable[int], posteriors: Iterable[float]) -> None:
        """Put tokens behind the known ones, as many as there is room for, and what is certain
        behind them."""
        self._take(tokens, posteriors)
        self._take_certain()

    def follow(
        self, draft: Sequence[int], written: Sequence[int], posteriors: Sequence[float]
    ) -> int:
        """Settle what was written in each place of a draft, up to the first where the draft says
        otherwise; where something is certain, that and not what was written. Returns how many
        tokens of the draft stand."""
        place = 0
        while place < len(draft) and not self.is_full:
            self._take(written[place : place + 1], posteriors[place : place + 1])
            stands = draft[place] == written[place]
            place += stands
            certain = self.course.certain()
            self._take(certain, repeat(1.0))
            if not stands:
                return place
            alike = zip(certain, draft[place:], strict=False)
            common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], alike))
            place += common
            if common < len(certain):
                return place
        return place

    def _take_certain(self) -> None:
        self._take(self.course.certain(), repeat(1.0))

    def _take(self, tokens: Iterable[int], posteriors: Iterable[float]) -> None:
        for token, posterior in zip(tokens, posteriors, strict=False):
            if self.is_full:
                return
            self.known.append(token)
            self.posteriors.append(posterior)
            self.course.push(token)
