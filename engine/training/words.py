"""Names, dates, amounts and codes composed at random, so that a model must copy them.

A word is made of syllables, or is a surname or a plain word out of faker's lists. The syllables and
the listed words of training and of held-out documents are disjoint: no held-out name can have been
memorised, nor any part of it longer than a syllable.
"""

from __future__ import annotations

import random
import string
from importlib import import_module

from .lexicon import (
    ADJECTIVES,
    AREAS,
    CURRENCIES,
    FORMS,
    GOODS,
    LEVELS,
    MONTHS,
    STATES,
    STREETS,
    TRADES,
    UNITS,
    Split,
    share,
)

_ONSETS = (
    *("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "y"),
    *("z", "br", "ch", "cl", "dr", "fr", "gr", "kr", "pr", "sh", "st", "th", "tr", "", "qu", "kh"),
    *("bl", "fl", "gl", "pl", "sl", "sn", "sp", "sw", "ng", "ph", "wh"),
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "au", "ea", "ee", "ia", "io", "oo", "ou", "ei", "y")
_CODAS = (
    *("", "", "", "n", "r", "l", "s", "m", "t", "nd", "ng", "rk", "st", "ck", "x", "h", "k"),
    *("p", "d", "g", "ll", "rt", "nt", "ss", "ns"),
)
_ALL = sorted({onset + vowel + coda for onset in _ONSETS for vowel in _VOWELS for coda in _CODAS})
_SHUFFLED = random.Random(1).sample(_ALL, len(_ALL))
_CUT = len(_SHUFFLED) * 4 // 5
SYLLABLES: dict[Split, list[str]] = {"train": _SHUFFLED[:_CUT], "heldout": _SHUFFLED[_CUT:]}
_LOCALES = ("en_US", "en_GB", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "id_ID")


def _listed() -> list[str]:
    """Surnames of several countries and plain English words, each of one word, sorted."""
    words = set(import_module("faker.providers.lorem.en_US").Provider.word_list)
    for locale in _LOCALES:
        words |= set(import_module(f"faker.providers.person.{locale}").Provider.last_names)
    return sorted({word.capitalize() for word in words if word.isalpha() and len(word) > 2})


_LISTED: dict[Split, list[str]] = {
    "train": share(_listed(), "train"),
    "heldout": share(_listed(), "heldout"),
}
_ACCENTS = str.maketrans("aeioun", "áéíóüñ")
_DOMAINS = ("com", "net", "org", "io", "de", "co.uk", "com.my", "example", "fr", "info")


_WAYS = ("Rua", "Rue", "Via", "Calle", "Avenida", "Travessa", "Viale", "Plaza", "Praça")


class Words:
    """Draws words of one split from one generator."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng = rng
        self.split: Split = split
        self._syllables = SYLLABLES[split]
        self._lists: dict[int, list[str]] = {}

    def pick(self, items: tuple[str, ...]) -> str:
        """One of the split's share of a word list."""
        part = self._lists.get(id(items))
        if part is None:
            part = self._lists[id(items)] = share(items, self.split)
        return self.rng.choice(part)

    def word(self, most: int = 3) -> str:
        """A capitalised made-up word, rarely with an accent, rarely random letters."""
        rng = self.rng
        if rng.random() < 0.07:
            letters = rng.choices(string.ascii_lowercase, k=rng.randint(2, 8))
            return "".join(letters).capitalize()
        if rng.random() < 0.35:
            return rng.choice(_LISTED[self.split])
        text = "".join(rng.choices(self._syllables, k=rng.randint(1, most))).capitalize()
        if rng.random() < 0.02:
            text = text[0] + text[1:].translate(_ACCENTS)
        return text

    def words(self, least: int, most: int) -> str:
        """Several words with spaces between."""
        return " ".join(self.word() for _ in range(self.rng.randint(least, most)))

    def person(self) -> str:
        """A first name and a last name, now and then with an initial or a title."""
        rng = self.rng
        name = f"{self.word(2)} {self.word()}"
        chance = rng.random()
        if chance < 0.1:
            name = f"{self.word(2)} {rng.choice(string.ascii_uppercase)}. {self.word()}"
        elif chance < 0.16:
            name = f"{rng.choice(['Mr', 'Ms', 'Dr'])} {name}"
        elif chance < 0.28:
            name = f"{self.word(1)} {self.word(1)} {self.word(1)}"
        elif chance < 0.32:
            name = f"{self.word(2)}-{self.word(2)} {self.word(2)}"
        return name

    def company(self) -> str:
        """A trading name with or without its trade, place, and legal form."""
        rng = self.rng
        core = rng.choice(
            [
                self.word(),
                self.words(1, 3),
                f"{self.word()} & {self.word()}",
                f"{self.word(2)}'s {self.word(2)}",
                self.words(2, 3),
                ".".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 4))) + ".",
                "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 4))),
                f"{rng.randint(1, 999)} {self.word(2)}",
                f"{self.pick(ADJECTIVES).capitalize()} {self.word(2)}",
                f"{self.word(2)} {self.pick(GOODS).capitalize()}",
                f"{self.pick(ADJECTIVES).capitalize()} {self.pick(GOODS).capitalize()}",
            ]
        )
        if rng.random() < 0.06:
            core = f"The {core}"
        if rng.random() < 0.65:
            core = f"{core} {self.pick(TRADES)}"
        if rng.random() < 0.12:
            core += f" ({self.words(1, 2)})"
        return f"{core} {self.pick(FORMS)}" if rng.random() < 0.55 else core

    def street(self) -> str:
        """Number and street."""
        rng = self.rng
        number = rng.choice(
            [
                str(rng.randint(1, 999)),
                f"No. {rng.randint(1, 99)}",
                f"No {rng.randint(1, 99)}",
                f"No.{rng.randint(1, 99)}-{rng.choice('ABCG1')}",
                f"Lot {rng.randint(1, 9999)}",
                f"{rng.randint(1, 99)} & {rng.randint(1, 99)}",
                f"{rng.choice('ABGPU')}-{rng.randint(1, 20)}-{rng.randint(1, 99)}",
                f"{rng.randint(1, 99)}{rng.choice('ABC')}",
                f"{rng.randint(1, 9)}{rng.choice(['st', 'nd', 'rd', 'th'])} Floor",
            ]
        )
        kind = self.pick(STREETS)
        first = kind in ("Jalan", "Jln", "Lorong", "Rue", "Via", "Calle", "Persiaran")
        name = f"{kind} {self.words(1, 2)}" if first else f"{self.word()} {kind}"
        if first and rng.random() < 0.4:
            name += rng.choice([f" {rng.randint(1, 30)}/{rng.randint(1, 30)}", f" {number[-1]}"])
            name += rng.choice(["", "", rng.choice("ABCD")])
        if rng.random() < 0.08:
            return name
        if rng.random() < 0.12:
            way, article = rng.choice(_WAYS), rng.choice(["", "", "da ", "das ", "de la ", "do "])
            return f"{way} {article}{self.words(1, 2)} {rng.randint(1, 199)}"
        return f"{number}{rng.choice([' ', ', ', ',', ', '])}{name}"

    def address_parts(self) -> list[str]:
        """Street, area, town and region: what an address is written of, in its order."""
        rng = self.rng
        parts = [self.street()]
        if rng.random() < 0.1:
            parts.insert(0, f"{self.pick(AREAS)} {self.words(1, 2)}")
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            area, name = self.pick(AREAS), self.words(1, 2)
            first = area in ("Taman", "Bandar", "Kampung", "Kawasan Perindustrian", "Kota")
            parts.append(f"{area} {name}" if first else f"{name} {area}")
            if area == "Seksyen":
                parts[-1] = f"Seksyen {rng.choice('UBSD')}{rng.randint(1, 30)}"
        postcode = rng.choice(
            [
                str(rng.randint(10000, 99999)),
                str(rng.randint(10000, 99999)),
                f"{self._letters(2)}{rng.randint(1, 19)} {rng.randint(1, 9)}{self._letters(2)}",
                f"{self._letters(1)}-{rng.randint(1000, 9999)}",
            ]
        )
        town = self.words(1, 2)
        if rng.random() < 0.85:
            town = rng.choice([f"{postcode} {town}"] * 3 + [f"{town} {postcode}"])
        parts.append(town)
        if rng.random() < 0.45:
            parts.append(self.words(1, 2))
        return parts

    def address(self) -> str:
        """An address on one line."""
        rng = self.rng
        parts = self.address_parts()
        if rng.random() < 0.4:
            parts = [parts[0], *parts[-1:]] if rng.random() < 0.7 else parts[:1]
        return rng.choice([", ", ", ", ", ", ","]).join(parts)

    def place(self) -> str:
        """A town or country."""
        return self.words(1, self.rng.choice([1, 1, 2]))

    def email(self) -> str:
        """An address at a made-up domain."""
        rng = self.rng
        user = rng.choice([self.word(2), f"{self.word(2)}.{self.word(2)}", self.word(1) + "7"])
        return f"{user}@{self.word(2)}.{rng.choice(_DOMAINS)}".lower()

    def web(self) -> str:
        """The address of a page."""
        rng = self.rng
        start = rng.choice(["www.", "https://", "http://www.", "https://www."])
        end = rng.choice(["", "", f"/{self.word(2)}", f"/{self.word(1)}/{rng.randint(1, 999)}"])
        return f"{start}{self.word(2)}.{rng.choice(_DOMAINS)}{end}".lower()

    def date(self) -> str:
        """A day in one of many forms, with month names of five languages."""
        rng = self.rng
        year, month, day = rng.randint(1998, 2035), rng.randint(1, 12), rng.randint(1, 31)
        language = rng.choice(["en", "en", "en", "en", "de", "fr", "es", "ms"])
        long = MONTHS[language][month - 1]
        short = long[:3]
        separator = rng.choice(["/", "/", "-", "-", ".", " / "] if rng.random() < 0.9 else [" "])
        numbers = [f"{day:02}", f"{month:02}", str(year)]
        forms = [
            f"{year}-{month:02}-{day:02}",
            separator.join(numbers),
            separator.join(numbers),
            separator.join([*numbers[:2], numbers[2][2:]]),
            separator.join([numbers[1], numbers[0], numbers[2]]),
            f"{day}{separator}{month}{separator}{year}",
            f"{year}{separator}{month:02}{separator}{day:02}",
            f"{day} {short} {year}",
            f"{day:02}-{short}-{year}",
            f"{day:02} {short.upper()} {year}",
            f"{day:02}{short.upper()}{year % 100:02}",
            f"{day:02}-{short.upper()}-{year % 100:02}",
            f"{long} {day}, {year}",
            f"{short} {day}, {year}",
            f"{day}. {long} {year}",
            f"{day} {long} {year}",
            f"{day:02}/{short}/{year}",
            f"{short.upper()} {day:02} {year}",
        ]
        return rng.choice(forms)

    def time(self) -> str:
        """A time of day."""
        rng = self.rng
        hour, minute, second = rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59)
        half = "AM" if hour < 12 else "PM"
        forms = [
            f"{hour:02}:{minute:02}",
            f"{hour:02}:{minute:02}:{second:02}",
            f"{hour % 12 + 1}:{minute:02} {half}",
            f"{hour % 12 + 1:02}:{minute:02}:{second:02} {half}",
            f"{hour % 12 + 1}:{minute:02}{half}",
            f"{hour % 12 + 1}:{minute:02}:{second:02}{half}",
            f"{hour:02}h{minute:02}",
        ]
        return rng.choice(forms)

    def amount(self, most: float = 5.0) -> str:
        """Money with two digits after the point, spread evenly over the magnitudes."""
        return f"{10 ** self.rng.uniform(-0.5, self.rng.uniform(1.0, most)):.2f}"

    def count(self) -> str:
        """A small whole number."""
        return str(self.rng.randint(0, self.rng.choice([9, 9, 99, 999])))

    def integer(self) -> str:
        """A whole number of up to five digits."""
        return str(self.rng.randint(1, self.rng.choice([9, 99, 999, 99999])))

    def percent(self) -> str:
        """A percentage with its sign."""
        return f"{self.rng.choice([self.rng.randint(1, 100), self.rng.randint(1, 199) / 10])}%"

    def measure(self) -> str:
        """A number and its unit."""
        rng = self.rng
        number = rng.choice([str(rng.randint(1, 999)), f"{rng.uniform(0.1, 99):.1f}"])
        return f"{number}{rng.choice([' ', ' ', ''])}{self.pick(UNITS)}"

    def unit(self) -> str:
        """A unit's name."""
        return self.pick(UNITS)

    def currency(self) -> str:
        """A currency's code."""
        return self.pick(CURRENCIES)

    def flag(self) -> str:
        """Yes or no, as a form says it."""
        return self.rng.choice(["yes", "no", "Yes", "No", "true", "false", "Y", "N"])

    def state(self) -> str:
        """Where something stands."""
        return self.pick(STATES)

    def level(self) -> str:
        """How urgent or grave something is."""
        return self.pick(LEVELS)

    def goods(self) -> str:
        """The name of a product."""
        rng = self.rng
        parts = [self.word(2), self.pick(GOODS).capitalize()]
        if rng.random() < 0.5:
            parts.insert(rng.randrange(2), self.pick(ADJECTIVES).capitalize())
        if rng.random() < 0.4:
            parts.pop(0)
        if rng.random() < 0.35:
            parts.append(rng.choice([self.measure(), f"{rng.randint(2, 60)}x{rng.randint(2, 60)}"]))
        return " ".join(parts)

    def phrase(self) -> str:
        """A few words that describe something."""
        rng = self.rng
        if rng.random() < 0.5:
            return self.words(1, 4)
        return rng.choice([self.goods(), f"{self.pick(ADJECTIVES)} {self.pick(GOODS)}"])

    def code(self) -> str:
        """An identifier: prefix and digits, or letters and digits mixed."""
        rng = self.rng
        digits = "".join(rng.choices(string.digits, k=rng.randint(3, 9)))
        letters = self._letters(rng.randint(1, 3))
        mixed = "".join(rng.choices(string.ascii_uppercase + string.digits, k=rng.randint(5, 9)))
        forms = [digits, f"{letters}-{digits}", f"{letters}{digits}", mixed, f"#{digits}"]
        forms += [f"{digits}/{rng.randint(10, 99)}", f"{mixed[:2]}-{mixed[2:]}"]
        return rng.choice(
            [*forms, f"{letters}/{digits}/{rng.randint(1, 30)}", f"{digits} {letters}"]
        )

    def digits(self, least: int, most: int) -> str:
        """A run of digits."""
        return "".join(self.rng.choices(string.digits, k=self.rng.randint(least, most)))

    def phone(self) -> str:
        """A telephone number."""
        rng = self.rng
        digits = self.digits(8, 8)
        forms = [f"0{digits[0]}-{digits[1:]}", f"+{digits[:2]} {digits[2:5]} {digits[5:]}"]
        forms += [f"0{digits[:2]} - {digits[2:]}", f"0{digits[0]}-{digits[:4]} {digits[4:]}"]
        return rng.choice([*forms, f"({digits[:3]}) {digits[3:5]}-{digits[4:]}"])

    def _letters(self, count: int) -> str:
        return "".join(self.rng.choices(string.ascii_uppercase, k=count))
