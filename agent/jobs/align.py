"""Where a record's values stand in the document they were read from.

A value is looked for as it is; then without regard to case, white space and typography; a number in
any spelling of it ("1.234,50" for 1234.5), a day likewise; last, a longer text with a few letters
that differ. Where it stands several times the place behind a word that looks like the field's name
is taken; items of a list are looked for in their order. The same document and value give the same
spans.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from dateutil import parser as dates
from rapidfuzz import fuzz

from .record import Absent, Place, Span

NONE = "the model found none"
NOWHERE = "does not stand in the document in this form"
NO_WORD = "yes or no, which is judged and not copied"

_ALIKE = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
    }
)
_NUMBER = re.compile(r"\d(?:[\d.,'\u00a0\u202f]*\d)?")
_MONTH = r"[^\W\d_]{3,9}\.?"
_DATE = re.compile(
    rf"\d{{1,4}}\s?[-/.]\s?\d{{1,2}}\s?[-/.]\s?\d{{1,4}}"
    rf"|\d{{1,2}}[-/.\s]*{_MONTH}[-/.,\s]*\d{{2,4}}"
    rf"|{_MONTH}\s*\d{{1,2}},?\s+\d{{2,4}}"
)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ].*)?")
_LABEL_REACH = 60
"""Characters between a label and the value that it labels, at most."""
_FUZZY_LEAST = 6
_FUZZY_SCORE = 85.0
_FUZZY_MOST = 200_000
"""Characters of a text in which what is nearly alike is looked for."""


def align(value: Any, text: str, pages: Sequence[int] = ()) -> dict[str, Place]:
    """Where each scalar of a value stands in a text, by JSON pointer; `pages` are the characters
    at which pages begin."""
    document = _Document(text)
    found: dict[str, Place] = {}
    rows = dict[str, _Row]()
    for pointer, scalar in _scalars(value, ""):
        number, name = _context(pointer)
        row = None
        if number is not None:
            items = number.rpartition("/")[0]
            row = rows.get(items)
            if row is None or row.pointer != number:
                row = rows[items] = _Row(number, row.end if row else 0)
        place = document.place(scalar, name, row)
        if isinstance(place, Span):
            if row is not None:
                row.end = max(row.end, place.end)
                row.anchor = place.end if row.anchor is None else row.anchor
            page = bisect.bisect_right(pages, place.start) or None
            place = Span(place.start, place.end, page)
        found[pointer] = place
    return found


@dataclass
class _Row:
    """An item of a list: it begins behind the one before, and its values stand together."""

    pointer: str
    start: int
    end: int = 0
    anchor: int | None = None

    def __post_init__(self) -> None:
        self.end = self.start


def _scalars(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            step = name.replace("~", "~0").replace("/", "~1")
            yield from _scalars(inner, f"{pointer}/{step}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _scalars(inner, f"{pointer}/{number}")
    else:
        yield pointer, value


def _context(pointer: str) -> tuple[str | None, str]:
    """The item of a list that a scalar is in, if it is in one, and the field's name."""
    steps = pointer.split("/")
    last = next((n for n in range(len(steps) - 1, 0, -1) if steps[n].isdecimal()), None)
    name = next((step for step in reversed(steps) if not step.isdecimal()), "")
    return (None if last is None else "/".join(steps[: last + 1])), name


class _Document:
    """A text, and what is made of it when it is first needed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def place(self, value: Any, name: str, row: _Row | None) -> Place:
        if value is None:
            return Absent(NONE)
        if isinstance(value, bool):
            return Absent(NO_WORD)
        if isinstance(value, int | float):
            spans = self._numbers.get(Decimal(str(value)).normalize(), [])
            return self._chosen(spans, name, row, last=True) or Absent(NOWHERE)
        written = str(value).strip()
        if not written:
            return Absent(NONE)
        for spans in (self._exact(written), self._alike(written), self._day(written)):
            if place := self._chosen(spans, name, row):
                return place
        return self._nearly(written) or Absent(NOWHERE)

    def _exact(self, written: str) -> list[Span]:
        return [span for span in _occurrences(self.text, written) if _whole(self.text, span)]

    def _alike(self, written: str) -> list[Span]:
        text, origin = self._folded
        wanted = _fold(written)[0].strip()
        return [
            Span(origin[span.start], origin[span.end - 1] + 1)
            for span in _occurrences(text, wanted)
            if _whole(text, span)
        ]

    def _day(self, written: str) -> list[Span]:
        iso = _ISO.fullmatch(written)
        if iso is None:
            return []
        try:
            wanted = date.fromisoformat(iso[1])
        except ValueError:
            return []
        return [span for span, days in self._days if wanted in days]

    def _nearly(self, written: str) -> Span | None:
        text, origin = self._folded
        wanted = _fold(written)[0].strip()
        if len(wanted) < _FUZZY_LEAST or len(text) > _FUZZY_MOST or not text:
            return None
        found = fuzz.partial_ratio_alignment(wanted, text, score_cutoff=_FUZZY_SCORE)
        if found is None or found.dest_end <= found.dest_start:
            return None
        start, end = found.dest_start, found.dest_end
        while start and text[start - 1].isalnum() and text[start].isalnum():
            start -= 1
        while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
            end += 1
        return Span(origin[start], origin[end - 1] + 1)

    def _chosen(
        self, spans: Sequence[Span], name: str, row: _Row | None, *, last: bool = False
    ) -> Span | None:
        """One of several places: in a list, the next to its item's other values; elsewhere behind
        the nearest label, else the first, or the last of a number, for sums stand at the end."""
        if not spans:
            return None
        if row is not None:
            anchor = row.start if row.anchor is None else row.anchor
            behind = [span for span in spans if span.start >= row.start] or spans[-1:]
            return min(behind, key=lambda span: abs(span.start - anchor))
        if len(spans) == 1:
            return spans[0]
        labels = self._labels(name)
        near = [
            (distance, span)
            for span in spans
            if (distance := _distance(labels, span.start)) is not None
        ]
        if near:
            return min(near, key=lambda pair: (pair[0], pair[1].start))[1]
        return spans[-1] if last else spans[0]

    def _labels(self, name: str) -> list[int]:
        """Where words end that look like a field's name, ascending."""
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name.replace("_", " "))
        wanted = [word.casefold() for word in words if len(word) > 2]
        text, origin = self._folded
        ends = {
            origin[match.end() - 1] + 1
            for word in wanted
            for match in re.finditer(re.escape(word), text)
        }
        return sorted(ends)

    @cached_property
    def _folded(self) -> tuple[str, Sequence[int]]:
        return _fold(self.text)

    @cached_property
    def _numbers(self) -> dict[Decimal, list[Span]]:
        found: dict[Decimal, list[Span]] = {}
        for match in _NUMBER.finditer(self.text):
            span = Span(*match.span())
            negative = self.text[: match.start()].rstrip("$€£ ")[-1:] in ("-", "(", "−")
            for number in _readings(match[0]):
                for signed in {number, -number} if negative else {number}:
                    found.setdefault(signed.normalize(), []).append(span)
        return found

    @cached_property
    def _days(self) -> list[tuple[Span, set[date]]]:
        return [(Span(*match.span()), _days(match[0])) for match in _DATE.finditer(self.text)]


def _occurrences(text: str, wanted: str) -> Iterator[Span]:
    at = text.find(wanted)
    while at >= 0 and wanted:
        yield Span(at, at + len(wanted))
        at = text.find(wanted, at + 1)


def _whole(text: str, span: Span) -> bool:
    """Whether the place is no part of a longer word or number."""
    before, after = text[span.start - 1 : span.start], text[span.end : span.end + 1]
    first, last = text[span.start], text[span.end - 1]
    if first.isalnum() and before.isalnum() and first.isdecimal() == before.isdecimal():
        return False
    if last.isalnum() and after.isalnum() and last.isdecimal() == after.isdecimal():
        return False
    if last.isdecimal() and after in (".", ","):
        return not text[span.end + 1 : span.end + 2].isdecimal()
    if first.isdecimal() and before in (".", ","):
        return not text[span.start - 2 : span.start - 1].isdecimal()
    return True


def _fold(text: str) -> tuple[str, array[int]]:
    """The text in one case, one kind of quotes and dashes, and runs of white space as one space;
    and the character that each one of it comes from."""
    letters: list[str] = []
    origin = array("L")
    blank = True
    for place, sign in enumerate(text):
        if sign.isspace():
            if not blank:
                letters.append(" ")
                origin.append(place)
            blank = True
            continue
        blank = False
        folded = (
            sign.lower() if sign < "\x80" else unicodedata.normalize("NFKC", sign).casefold()
        ).translate(_ALIKE)
        letters.append(folded)
        origin.extend([place] * len(folded))
    return "".join(letters), origin


def _readings(written: str) -> set[Decimal]:
    """The numbers that a spelling may mean: a point or a comma parts thousands or decimals."""
    plain = re.sub(r"['\u00a0\u202f]", "", written)
    found = set()
    for thousands, decimals in ((",", "."), (".", ",")):
        whole, _, part = plain.rpartition(decimals) if decimals in plain else (plain, "", "")
        if decimals in whole or thousands in part:
            continue
        groups = whole.split(thousands)
        if any(len(group) != 3 for group in groups[1:]):
            continue
        try:
            found.add(Decimal(f"{''.join(groups)}.{part or 0}"))
        except InvalidOperation:
            continue
    return found


def _days(written: str) -> set[date]:
    """The days that a spelling may mean: the month or the day may stand first."""
    found = set()
    for day_first, year_first in ((False, False), (True, False), (False, True)):
        try:
            day = dates.parse(written, dayfirst=day_first, yearfirst=year_first)
            found.add(day.date())
        except (ValueError, OverflowError):
            continue
    return found


def _distance(labels: Sequence[int], start: int) -> int | None:
    """How far a place is behind the nearest label; `None` where none is near."""
    before = bisect.bisect_right(labels, start)
    if not before:
        return None
    distance = start - labels[before - 1]
    return distance if distance <= _LABEL_REACH else None
