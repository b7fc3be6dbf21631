"""A canvas being written: the tokens at its beginning that are known.

What is certain under the constraint is known without the model; the rest is settled by whoever
writes the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence

from .course import Course, FreeCourse


class Canvas:
    """`length` positions, of which the first are `known`; `posteriors` are how sure each of those
    was: 1 where the constraint left nothing else."""

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

    def settle(self, tokens: Sequence[int], posteriors: Sequence[float]) -> None:
        """Put tokens behind the known ones, as many as there is room for, and what is certain
        behind them."""
        self._take(tokens, posteriors)
        self._take_certain()

    def _take_certain(self) -> None:
        certain = self.course.certain()
        self._take(certain, [1.0] * len(certain))

    def _take(self, tokens: Sequence[int], posteriors: Sequence[float]) -> None:
        for token, posterior in zip(tokens, posteriors, strict=True):
            if self.is_full:
                return
            self.known.append(token)
            self.posteriors.append(posterior)
            self.course.push(token)
