"""What a query says: the words worth looking for, and the months that it names.

English only where it must be: the words that say nothing, and the names of the months.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


# Too common in questions and in talk to tell one fact from another; what an apostrophe leaves
# behind ("Anna's", "didn't", "they'll") is among them.
STOP_WORDS = frozenset(
    words(
        """
        a about after all also am an and any are as at be been before being between both but by can
        could d did do does doing done during each ever few for from get got had has have having he
        her here him himself his how i if in into is it its just like ll m many may me might more
        most much must my no not now of off on one only or other our out over own per re s same she
        should so some such t than that the their them then there these they this those through to
        too under until up us ve very via was we were what when where which while who whom whose
        why will with would yes yet you your
        """
    )
)

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH = re.compile(
    # Capitalised, or it would be a verb as often as a month ("may", "march").
    rf"\b({'|'.join(month.capitalize() for month in _MONTHS)})\b"
    r"(?:\s+\d{1,2}(?:st|nd|rd|th)?\b)?(?:,?\s+((?:19|20)\d\d)\b)?"
)
_ISO = re.compile(r"\b((?:19|20)\d\d)-(\d\d)(?:-\d\d)?\b")
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")


@dataclass(frozen=True)
class Month:
    """A month that a query names; `None` where it does not say."""

    year: int | None
    month: int | None

    def holds(self, at: datetime) -> bool:
        return self.year in (None, at.year) and self.month in (None, at.month)


def telling_words(query: str) -> list[str]:
    """The words to look for, each once; all of them where none tells anything."""
    said = list(dict.fromkeys(words(query)))
    return [word for word in said if word not in STOP_WORDS] or said


def months(query: str) -> list[Month]:
    """The months, or else the years, that a query names. The day is left out: what happened on
    one day is told on another."""
    found = [
        Month(int(year) if year else None, _MONTHS.index(name.lower()) + 1)
        for name, year in _MONTH.findall(query)
    ]
    found += [Month(int(year), int(month)) for year, month in _ISO.findall(query)]
    return found or [Month(int(year), None) for year in _YEAR.findall(query)]
