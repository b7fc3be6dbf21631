"""Sets of numbers, and the decimal texts that write them.

A `Numbers` is an interval, of whole numbers or of all, with or without a step. Its texts are plain
decimals of at most `DIGITS` digits on each side of the point; only the unbounded set is also
written with an exponent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, lcm
from typing import Literal as Fixed

import numpy as np

from .dfa import BYTES, Dfa, finished, intersect
from .regular import (
    EMPTY,
    Both,
    Characters,
    Either,
    Expression,
    Literal,
    Repeat,
    determinise,
    either,
    optional,
    sequence,
)

DIGITS = 15
"""Digits written on either side of the point: what a double holds."""
_MOST_RESIDUES = 1000
_MOST_LISTED = 2000

_DIGIT = Characters(((48, 57),))
_SOME = Repeat(_DIGIT, 0, 5)  # near a bound, so few digits that no double rounds to the bound
_ZEROS = Repeat(Literal("0"), 0, 2)
_NATURAL = either(Literal("0"), sequence(Characters(((49, 57),)), Repeat(_DIGIT, 0, DIGITS - 1)))
_INTEGER = sequence(optional(Literal("-")), _NATURAL)
_PLAIN = sequence(_INTEGER, optional(sequence(Literal("."), Repeat(_DIGIT, 1, DIGITS))))
_NUMBER = sequence(
    _PLAIN,
    optional(
        sequence(
            Characters(((69, 69), (101, 101))),
            optional(Characters(((43, 43), (45, 45)))),
            Repeat(_DIGIT, 1, 2),
        )
    ),
)

Kind = Fixed["all", "whole", "broken"]


class Inexact(Exception):  # noqa: N818 - a signal inside the compiler, never shown
    """A set that cannot be said exactly: the compiler takes a narrower one, or checks later."""

    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


@dataclass(frozen=True)
class Numbers:
    """The numbers between two bounds that are whole, broken or either, and multiples of a step.

    `low` and `high` of `None` are without bound; `*_open` leaves the bound itself out.
    """

    low: Fraction | None = None
    high: Fraction | None = None
    low_open: bool = False
    high_open: bool = False
    kind: Kind = "all"
    step: Fraction | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it is certain that no number is in it."""
        if self.low is None or self.high is None:
            return False
        if self.kind == "whole":
            least, most = self.whole_bounds()
            return least is not None and most is not None and least > most
        if self.low == self.high:
            broken = self.kind == "broken" and self.low.denominator == 1
            off = self.step is not None and (self.low / self.step).denominator != 1
            return self.low_open or self.high_open or broken or off
        return self.low > self.high

    def __contains__(self, number: Fraction) -> bool:
        whole = number.denominator == 1
        if (self.kind == "whole" and not whole) or (self.kind == "broken" and whole):
            return False
        if self.low is not None and (number < self.low or (self.low_open and number == self.low)):
            return False
        if self.high is not None and (
            number > self.high or (self.high_open and number == self.high)
        ):
            return False
        return self.step is None or (number / self.step).denominator == 1

    def intersect(self, other: Numbers) -> Numbers:
        """The numbers in both."""
        low, low_open = self.low, self.low_open
        if other.low is not None and (low is None or other.low >= low):
            low_open = other.low_open or (low == other.low and low_open)
            low = other.low
        high, high_open = self.high, self.high_open
        if other.high is not None and (high is None or other.high <= high):
            high_open = other.high_open or (high == other.high and high_open)
            high = other.high
        kind: Kind = self.kind if other.kind == "all" else other.kind
        if {self.kind, other.kind} == {"whole", "broken"}:
            return NOTHING
        step = self.step or other.step
        if self.step and other.step:
            step = _common(self.step, other.step)
        return Numbers(low, high, low_open, high_open, kind, step)

    def complement(self) -> tuple[Numbers, ...]:
        """Every other number.

        Raises:
            Inexact: what lies between the multiples of a step has no name here.
        """
        parts: list[Numbers] = []
        if self.low is not None:
            parts.append(Numbers(high=self.low, high_open=not self.low_open))
        if self.high is not None:
            parts.append(Numbers(low=self.high, low_open=not self.high_open))
        if self.step not in (None, 1):
            raise Inexact("multipleOf")
        if self.kind == "whole" or self.step == 1:
            parts.append(Numbers(kind="broken"))
        elif self.kind == "broken":
            parts.append(Numbers(kind="whole"))
        return tuple(part for part in parts if not part.is_empty)

    def whole_bounds(self) -> tuple[int | None, int | None]:
        """The least and the greatest whole number inside the bounds."""
        least = None if self.low is None else ceil(self.low)
        if least is not None and self.low_open and least == self.low:
            least += 1
        most = None if self.high is None else floor(self.high)
        if most is not None and self.high_open and most == self.high:
            most -= 1
        return least, most

    def automaton(self) -> Dfa:
        """The decimal texts of the set.

        Raises:
            Inexact: the step leads to more states than are sensible.
        """
        return _automaton(self)


NOTHING = Numbers(Fraction(1), Fraction(0))


def point(number: Fraction) -> Numbers:
    """One number."""
    return Numbers(number, number)


def exact(number: float | int) -> Fraction:
    """A JSON number as people read it: 0.1 is one tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(Decimal(repr(number)))


def decimal(number: Fraction) -> str:
    """The shortest plain text of a number."""
    if number.denominator == 1:
        return str(number.numerator)
    text = format(Decimal(number.numerator) / Decimal(number.denominator), "f")
    return text if exact(float(text)) == number else repr(float(number))


def _common(first: Fraction, second: Fraction) -> Fraction:
    """The least common multiple."""
    scale = lcm(first.denominator, second.denominator)
    return Fraction(lcm(int(first * scale), int(second * scale)), scale)


@lru_cache(maxsize=512)
def _automaton(numbers: Numbers) -> Dfa:
    step = numbers.step
    if step is not None and numbers.low is not None and numbers.high is not None:
        first, last = ceil(numbers.low / step), floor(numbers.high / step)
        if last - first <= _MOST_LISTED:
            inside = (step * count for count in range(first, last + 1))
            texts = [Literal(decimal(number)) for number in inside if number in numbers]
            return determinise(Either(tuple(texts)))
    written = determinise(_texts(numbers))
    return (
        written
        if step is None
        else finished(intersect(written.sparse, _multiples(step).sparse), ())
    )


def _texts(numbers: Numbers) -> Expression:
    """The texts of a set, its step left aside."""
    if numbers.low is not None and numbers.low == numbers.high:
        return Literal(decimal(numbers.low))
    if numbers.kind == "whole" or (numbers.step and numbers.step.denominator == 1):
        return Either(()) if numbers.kind == "broken" else _between(*numbers.whole_bounds())
    if numbers.low is None and numbers.high is None and numbers.kind == "all":
        return _PLAIN if numbers.step else _NUMBER
    parts: list[Expression] = []
    if numbers.high is None or numbers.high >= 0:
        low = numbers.low if numbers.low is not None and numbers.low >= 0 else Fraction(0)
        parts.append(
            _decimals(
                low,
                numbers.high,
                low_open=numbers.low_open and low == numbers.low,
                high_open=numbers.high_open,
            )
        )
    if numbers.low is None or numbers.low < 0:
        top = -numbers.high if numbers.high is not None and numbers.high < 0 else Fraction(0)
        bottom = None if numbers.low is None else -numbers.low
        below = _decimals(
            top, bottom, low_open=numbers.high_open or top == 0, high_open=numbers.low_open
        )
        parts.append(sequence(Literal("-"), below))
    found = Either(tuple(parts))
    if numbers.kind == "broken":
        few = either(Literal("0"), sequence(Characters(((49, 57),)), Repeat(_DIGIT, 0, 5)))
        broken = sequence(optional(Literal("-")), few, _fraction_above("", is_open=True))
        return Both(found, broken)
    return found


@lru_cache(maxsize=64)
def _multiples(step: Fraction) -> Dfa:
    """Decimal texts whose value is a multiple of a step: digits drive a remainder.

    States are the remainder before the point, then one layer for every digit behind it that the
    step has, in which the remainder goes on; further digits are zeros.
    """
    places = 0
    while (step * 10**places).denominator != 1:
        places += 1
        if places > DIGITS:
            raise Inexact("multipleOf")
    unit = int(step * 10**places)
    if unit * (places + 2) > _MOST_RESIDUES:
        raise Inexact("multipleOf")
    layers, remainders = places + 2, np.arange(unit)  # layer 1 is at the point
    table = np.full((1 + layers * unit, BYTES), -1, np.int32)
    final = np.zeros(len(table), bool)
    for digit in range(10):
        after = (remainders * 10 + digit) % unit
        table[0, 48 + digit] = 1 + digit % unit
        table[1 + remainders, 48 + digit] = 1 + after
        for layer in range(1, places + 1):
            table[1 + layer * unit + remainders, 48 + digit] = 1 + (layer + 1) * unit + after
    table[0, 45] = 0
    table[1 + remainders, 46] = 1 + unit + remainders
    for layer in range(layers):
        missing = places - max(0, layer - 1)
        final[1 + layer * unit + remainders] = remainders * 10**missing % unit == 0
    final[1 + unit + remainders] = False  # a point wants digits
    last = 1 + (places + 1) * unit
    table[last + remainders, 48] = last + remainders
    return Dfa(table, final, ())


def _between(least: int | None, most: int | None) -> Expression:
    """Whole numbers between two bounds, both included."""
    if least is None and most is None:
        return _INTEGER
    parts: list[Expression] = []
    if most is None or most >= 0:
        parts += _naturals(max(0, least or 0) if least is not None else 0, most)
    if least is None or least < 0:
        top = 1 if most is None or most >= 0 else -most
        below = _naturals(top, None if least is None else -least)
        parts += [sequence(Literal("-"), part) for part in below]
    return Either(tuple(parts))


def _naturals(least: int, most: int | None) -> list[Expression]:
    """Texts of natural numbers between two bounds, as prefixes with free digits behind."""
    bound = 10**DIGITS - 1 if most is None else most
    found: list[Expression] = []
    for low, high in _same_length(least, bound):
        found += [
            sequence(Literal(prefix), *([Characters(digits)] if digits else []), *free)
            for prefix, digits, free in _digit_blocks(str(low), str(high))
        ]
    return found


def _same_length(least: int, most: int) -> Iterator[tuple[int, int]]:
    """The interval cut where the number of digits changes."""
    while least <= most:
        top = min(most, 10 ** len(str(least)) - 1)
        yield least, top
        least = top + 1


Digits = tuple[tuple[int, int], ...]


def _digit_blocks(low: str, high: str) -> Iterator[tuple[str, Digits, list[Expression]]]:
    """Digit strings between two of the same length: a prefix, a range of one digit, free rest."""
    if low == high:
        yield low, (), []
        return
    shared = 0
    while low[shared] == high[shared]:
        shared += 1
    prefix, rest = low[:shared], len(low) - shared - 1
    first, last = int(low[shared]), int(high[shared])
    if set(low[shared + 1 :]) - {"0"}:
        yield from (
            (prefix + low[shared] + more, digits, free)
            for more, digits, free in _digit_blocks(low[shared + 1 :], "9" * rest)
        )
        first += 1
    tail = []
    if set(high[shared + 1 :]) - {"9"}:
        tail = [
            (prefix + high[shared] + more, digits, free)
            for more, digits, free in _digit_blocks("0" * rest, high[shared + 1 :])
        ]
        last -= 1
    if first <= last:
        free: list[Expression] = [Repeat(_DIGIT, rest, rest)] if rest else []
        yield prefix, ((48 + first, 48 + last),), free
    yield from tail


def _decimals(
    low: Fraction, high: Fraction | None, *, low_open: bool, high_open: bool
) -> Expression:
    """Texts of non-negative numbers between two bounds."""
    whole, fraction = _split(low)
    at_least: Expression = Either(
        (
            sequence(Literal(str(whole)), _fraction_above(fraction, low_open)),
            *(
                sequence(part, optional(sequence(Literal("."), Repeat(_DIGIT, 1, DIGITS))))
                for part in _naturals(whole + 1, None)
            ),
        )
    )
    if high is None:
        return at_least
    whole, fraction = _split(high)
    options: list[Expression] = []
    below = _fraction_below(fraction, high_open)
    if below is not None:
        options.append(sequence(Literal(str(whole)), below))
    if whole:
        options += [
            sequence(part, optional(sequence(Literal("."), Repeat(_DIGIT, 1, DIGITS))))
            for part in _naturals(0, whole - 1)
        ]
    return Both(at_least, Either(tuple(options)))


def _split(number: Fraction) -> tuple[int, str]:
    """The whole part, and the digits after the point without zeros at their end."""
    whole = floor(number)
    digits = Decimal((number - whole).numerator) / Decimal((number - whole).denominator)
    return whole, format(digits, "f").partition(".")[2].rstrip("0")


def _fraction_above(bound: str, is_open: bool) -> Expression:
    """What may stand behind the whole part: a fraction of at least (or above) `0.bound`."""
    beyond = sequence(_ZEROS, Characters(((49, 57),)), _SOME) if is_open else _SOME
    if not bound:
        point_and = sequence(Literal("."), beyond if is_open else Repeat(_DIGIT, 1, DIGITS))
        return point_and if is_open else optional(point_and)
    options: list[Expression] = [sequence(Literal(f".{bound}"), beyond)]
    for place, digit in enumerate(bound):
        if digit < "9":
            above = Characters(((ord(digit) + 1, 57),))
            options.append(sequence(Literal(f".{bound[:place]}"), above, _SOME))
    return Either(tuple(options))


def _fraction_below(bound: str, is_open: bool) -> Expression | None:
    """What may stand behind the whole part: a fraction of at most (or below) `0.bound`."""
    if not bound:
        return None if is_open else optional(sequence(Literal(".0"), _ZEROS))
    options: list[Expression] = [EMPTY]
    for place, digit in enumerate(bound):
        if digit > "0":
            below = Characters(((48, ord(digit) - 1),))
            options.append(sequence(Literal(f".{bound[:place]}"), below, _SOME))
        if place:
            options.append(sequence(Literal(f".{bound[:place]}"), _ZEROS))
    if not is_open:
        options.append(sequence(Literal(f".{bound}"), _ZEROS))
    return Either(tuple(options))
