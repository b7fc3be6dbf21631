"""Names, dates, amounts and codes composed at random, so that a model must copy them.

The syllables of training and of held-out documents are disjoint: no held-out name can have been
memorised, nor any part of it longer than a syllable.
"""

from __future__ import annotations

import random
import string
from typing import Literal

Split = Literal["train", "heldout"]

_ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "y",
    "z",
    "br",
    "ch",
    "cl",
    "dr",
    "fr",
    "gr",
    "kr",
    "pr",
    "sh",
    "st",
    "th",
    "tr",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "au", "ea", "ee", "ia", "io", "oo", "ou"]
_CODAS = ["", "", "", "n", "r", "l", "s", "m", "t", "nd", "ng", "rk", "st", "ck", "x"]
_ALL = [onset + vowel + coda for onset in _ONSETS for vowel in _VOWELS for coda in _CODAS]
_SHUFFLED = random.Random(1).sample(sorted(set(_ALL)), len(set(_ALL)))
_CUT = len(_SHUFFLED) * 4 // 5
_SYLLABLES: dict[Split, list[str]] = {"train": _SHUFFLED[:_CUT], "heldout": _SHUFFLED[_CUT:]}
_ACCENTS = str.maketrans("aeioun", "áéíóüñ")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_LONG_MONTHS = [
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
]
_DOMAINS = ["com", "net", "org", "io", "de", "co.uk", "com.my", "example"]
_STREETS = ["Street", "Road", "Avenue", "Lane", "Way", "Place", "Jalan", "Square", "Drive"]


class Words:
    """Draws words of one split from one generator."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self._rng = rng
        self._syllables = _SYLLABLES[split]

    def word(self, most: int = 3) -> str:
        """A capitalised made-up word, rarely with an accent, rarely random letters."""
        rng = self._rng
        if rng.random() < 0.06:
            letters = rng.choices(string.ascii_lowercase, k=rng.randint(2, 8))
            return "".join(letters).capitalize()
        text = "".join(rng.choices(self._syllables, k=rng.randint(1, most))).capitalize()
        if rng.random() < 0.02:
            text = text[0] + text[1:].translate(_ACCENTS)
        return text

    def words(self, least: int, most: int) -> str:
        """Several words with spaces between."""
        return " ".join(self.word() for _ in range(self._rng.randint(least, most)))

    def person(self) -> str:
        """A first name and a last name, now and then with an initial or a title."""
        rng = self._rng
        name = f"{self.word(2)} {self.word()}"
        chance = rng.random()
        if chance < 0.1:
            name = f"{self.word(2)} {rng.choice(string.ascii_uppercase)}. {self.word()}"
        elif chance < 0.16:
            name = f"{rng.choice(['Mr', 'Ms', 'Dr'])} {name}"
        return name

    def company(self) -> str:
        """A trading name with or without a form."""
        rng = self._rng
        core = rng.choice([self.word(), self.words(1, 3), f"{self.word()} & {self.word()}"])
        kinds = ["Store", "Trading", "Market", "Enterprise", "Hardware", "Supplies", "Cafe"]
        kinds += ["Motor", "Books", "Pharmacy", "Restaurant", "Services", "Foods", "Electric"]
        if rng.random() < 0.6:
            core = f"{core} {rng.choice(kinds)}"
        forms = ["Ltd", "Sdn Bhd", "Sdn. Bhd.", "Inc.", "GmbH", "LLC", "Co.", "(M) Sdn Bhd"]
        return f"{core} {rng.choice(forms)}" if rng.random() < 0.55 else core

    def street(self) -> str:
        """One line of an address."""
        rng = self._rng
        number = rng.choice([str(rng.randint(1, 999)), f"No. {rng.randint(1, 99)}", "Lot 1"])
        kind = rng.choice(_STREETS)
        name = f"{kind} {self.word()}" if kind == "Jalan" else f"{self.word()} {kind}"
        line = f"{number}{rng.choice([' ', ', '])}{name}"
        if rng.random() < 0.65:
            line += f", {rng.randint(10000, 99999)} {self.word()}"
        elif rng.random() < 0.5:
            line += f", {self.word()}"
        return line

    def email(self) -> str:
        """An address at a made-up domain."""
        rng = self._rng
        user = rng.choice([self.word(2), f"{self.word(2)}.{self.word(2)}", self.word(1) + "7"])
        return f"{user}@{self.word(2)}.{rng.choice(_DOMAINS)}".lower()

    def date(self) -> str:
        """A day in one of a dozen forms."""
        rng = self._rng
        year, month, day = rng.randint(1998, 2035), rng.randint(1, 12), rng.randint(1, 28)
        short, long = _MONTHS[month - 1], _LONG_MONTHS[month - 1]
        forms = [
            f"{year}-{month:02}-{day:02}",
            f"{day:02}/{month:02}/{year}",
            f"{day:02}-{month:02}-{year}",
            f"{day:02}/{month:02}/{year % 100:02}",
            f"{day:02}-{month:02}-{year % 100:02}",
            f"{month}/{day}/{year}",
            f"{day:02}.{month:02}.{year}",
            f"{day} {short} {year}",
            f"{day:02}-{short}-{year}",
            f"{day:02} {short.upper()} {year}",
            f"{long} {day}, {year}",
            f"{short} {day}, {year}",
        ]
        return rng.choice(forms)

    def time(self) -> str:
        """A time of day."""
        rng = self._rng
        hour, minute = rng.randint(0, 23), rng.randint(0, 59)
        half = f"{hour % 12 + 1}:{minute:02} {'AM' if hour < 12 else 'PM'}"
        return rng.choice([f"{hour:02}:{minute:02}", f"{hour:02}:{minute:02}:07", half])

    def amount(self, most: float = 5.0) -> str:
        """Money with two digits after the point, spread evenly over the magnitudes."""
        return f"{10 ** self._rng.uniform(-0.5, self._rng.uniform(1.0, most)):.2f}"

    def code(self) -> str:
        """An identifier: prefix and digits, or letters and digits mixed."""
        rng = self._rng
        digits = "".join(rng.choices(string.digits, k=rng.randint(3, 8)))
        letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 3)))
        mixed = "".join(rng.choices(string.ascii_uppercase + string.digits, k=rng.randint(5, 9)))
        forms = [digits, f"{letters}-{digits}", f"{letters}{digits}", mixed, f"#{digits}"]
        return rng.choice([*forms, f"{digits}/{rng.randint(10, 99)}", f"{mixed[:2]}-{mixed[2:]}"])

    def phone(self) -> str:
        """A telephone number."""
        rng = self._rng
        digits = "".join(rng.choices(string.digits, k=8))
        forms = [f"0{digits[0]}-{digits[1:]}", f"+{digits[:2]} {digits[2:5]} {digits[5:]}"]
        return rng.choice([*forms, f"({digits[:3]}) {digits[3:5]}-{digits[4:]}"])
