"""Sets of characters by their Unicode properties, as this Python's `unicodedata` has them.

General categories with their long names, the scripts that people name in patterns, and the binary
properties `Alphabetic`, `Lowercase`, `Uppercase`, `White_Space`, `ASCII`, `Any` and `Assigned`. A
script is told by the names of its characters, and so holds only letters, marks and numbers.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache

from .regular import ANY, Ranges, character_set, complement, intersection

_CATEGORY_NAMES = {
    "Letter": "L",
    "Cased_Letter": "LC",
    "Uppercase_Letter": "Lu",
    "Lowercase_Letter": "Ll",
    "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm",
    "Other_Letter": "Lo",
    "Mark": "M",
    "Combining_Mark": "M",
    "Nonspacing_Mark": "Mn",
    "Spacing_Mark": "Mc",
    "Enclosing_Mark": "Me",
    "Number": "N",
    "Decimal_Number": "Nd",
    "digit": "Nd",
    "Letter_Number": "Nl",
    "Other_Number": "No",
    "Punctuation": "P",
    "punct": "P",
    "Connector_Punctuation": "Pc",
    "Dash_Punctuation": "Pd",
    "Open_Punctuation": "Ps",
    "Close_Punctuation": "Pe",
    "Initial_Punctuation": "Pi",
    "Final_Punctuation": "Pf",
    "Other_Punctuation": "Po",
    "Symbol": "S",
    "Math_Symbol": "Sm",
    "Currency_Symbol": "Sc",
    "Modifier_Symbol": "Sk",
    "Other_Symbol": "So",
    "Separator": "Z",
    "Space_Separator": "Zs",
    "Line_Separator": "Zl",
    "Paragraph_Separator": "Zp",
    "Other": "C",
    "Control": "Cc",
    "cntrl": "Cc",
    "Format": "Cf",
    "Private_Use": "Co",
    "Unassigned": "Cn",
}
_SCRIPTS = {
    "Latin": ("LATIN", "FULLWIDTH LATIN", "FEMININE ORDINAL", "MASCULINE ORDINAL"),
    "Greek": ("GREEK",),
    "Cyrillic": ("CYRILLIC",),
    "Armenian": ("ARMENIAN",),
    "Hebrew": ("HEBREW",),
    "Arabic": ("ARABIC LETTER",),
    "Devanagari": ("DEVANAGARI",),
    "Bengali": ("BENGALI",),
    "Tamil": ("TAMIL",),
    "Thai": ("THAI CHARACTER", "THAI DIGIT"),
    "Georgian": ("GEORGIAN",),
    "Hangul": ("HANGUL SYLLABLE", "HANGUL JUNGSEONG", "HANGUL CHOSEONG", "HANGUL JONGSEONG"),
    "Hiragana": ("HIRAGANA LETTER",),
    "Katakana": ("KATAKANA LETTER",),
    "Han": ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"),
}
_SHORT_SCRIPTS = {
    {"Greek": "Grek", "Cyrillic": "Cyrl", "Devanagari": "Deva", "Georgian": "Geor"}.get(
        script, {"Katakana": "Kana", "Latin": "Latn", "Han": "Hani"}.get(script, script[:4])
    ): script
    for script in _SCRIPTS
}
_NOT_BY_CATEGORY = {
    "Any": ANY,
    "ASCII": ((0, 127),),
    "White_Space": character_set(
        *((9, 13), (32, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
        *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
    ),
}


@lru_cache(maxsize=1)
def _by_category() -> dict[str, Ranges]:
    """The ranges of each two-letter category."""
    found: dict[str, list[tuple[int, int]]] = {}
    category = unicodedata.category
    start, current = 0, category("\0")
    for code in range(1, sys.maxunicode + 1):
        here = category(chr(code))
        if here != current:
            found.setdefault(current, []).append((start, code - 1))
            start, current = code, here
    found.setdefault(current, []).append((start, sys.maxunicode))
    return {name: tuple(ranges) for name, ranges in found.items()}


@lru_cache(maxsize=64)
def category_ranges(*names: str) -> Ranges:
    """The characters of some categories, by their first letter or both."""
    return intersection(
        character_set(
            *(
                span
                for category, ranges in _by_category().items()
                if category.startswith(names)
                for span in ranges
            )
        ),
        ANY,
    )


@lru_cache(maxsize=64)
def property_ranges(text: str) -> Ranges | None:
    """The characters that `\\p{text}` names; `None` for a property that is not known here."""
    key, equals, value = text.partition("=")
    if equals:
        if key in ("General_Category", "gc"):
            return _general(value)
        return _script(value) if key in ("Script", "sc", "Script_Extensions", "scx") else None
    if text in _NOT_BY_CATEGORY:
        return _NOT_BY_CATEGORY[text]
    if text == "Assigned":
        return complement(category_ranges("Cn"))
    if text in ("Alphabetic", "Alpha"):
        return category_ranges("L", "Nl")
    if text in ("Lowercase", "Lower"):
        return category_ranges("Ll")
    if text in ("Uppercase", "Upper"):
        return category_ranges("Lu")
    return _general(text)


def _general(name: str) -> Ranges | None:
    name = _CATEGORY_NAMES.get(name, name)
    if name == "LC":
        return category_ranges("Lu", "Ll", "Lt")
    known = name == "C" or any(category.startswith(name) for category in _by_category())
    return category_ranges(name) if name and known else None


def _script(name: str) -> Ranges | None:
    prefixes = _SCRIPTS.get(_SHORT_SCRIPTS.get(name, name))
    if prefixes is None:
        return None
    return character_set(
        *(
            (code, code)
            for low, high in category_ranges("L", "M", "N")
            for code in range(low, high + 1)
            if unicodedata.name(chr(code), "").startswith(prefixes)
        )
    )
