"""A canvas being written: the tokens at its beginning that are known.

What is certain under the constraint is known without the model; the rest is settled by whoever
writes the canvas.
"""

from __future__ import annotations

from collections.abc import Iterable

from .course import Course, FreeCourse


class Canvas:
    """`length` positions, of which the first are `known`."""

    def __init__(self, length: int, course: Course | FreeCourse) -> None:
        self.length = length
        self.course = course
        self.known: list[int] = []
        self._take(course.certain())

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

    def settle(self, tokens: Iterable[int]) -> None:
        """Put tokens behind the known ones, as many as there is room for, and what is certain
        behind them."""
        self._take(tokens)
        self._take(self.course.certain())

    def _take(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            if self.is_full:
                return
            self.known.append(token)
            self.course.push(token)
