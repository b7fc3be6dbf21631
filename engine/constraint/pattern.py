"""ECMA regular expressions (the `pattern` keyword, and `regex`) as expressions.

The regular part of ECMA-262: alternation, groups, classes, escapes, repetition, and anchors at the
ends of an alternative. Where ECMA and Python's `re` differ over a class, what both allow is taken,
so that a validator of either kind agrees. Lookaround, back-references and word boundaries are
refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConstraintError
from .regular import (
    ANY,
    EMPTY,
    LAST_CODE_POINT,
    Characters,
    Expression,
    Ranges,
    Repeat,
    character_set,
    complement,
    either,
    sequence,
)

_DIGITS = character_set((48, 57))
_WORD = character_set((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE = character_set((9, 13), (32, 32))
_ANY_SPACE = character_set(
    *((9, 13), (28, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_LINE_ENDS = character_set((10, 10), (13, 13), (0x2028, 0x2029))
_BEYOND_ASCII = (128, LAST_CODE_POINT)
_SHORT = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_ANYTHING = Repeat(Characters(ANY), 0, None)
_MOST_REPEATS = 1000


# What both ECMA and Python hold to be in a class, and what either of them does: a negated class is
# the complement of the latter, so that it too is in both.
_NARROW = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_WIDE = {
    "d": character_set(*_DIGITS, _BEYOND_ASCII),
    "w": character_set(*_WORD, _BEYOND_ASCII),
    "s": _ANY_SPACE,
}
_CLASSES = _NARROW | {name.upper(): complement(wide) for name, wide in _WIDE.items()}
_CLASSES_TO_NEGATE = _WIDE | {name.upper(): complement(one) for name, one in _NARROW.items()}


def parse_pattern(pattern: str, *, search: bool, pointer: str = "") -> Expression:
    """The expression of a pattern; with `search`, of every text that contains a match.

    Raises:
        ConstraintError: the pattern is not valid, or uses what is not regular; the message names
            the position in it.
    """
    return _Parser(pattern, pointer).parse(search=search)


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str, pointer: str) -> None:
        self._text = pattern
        self._pointer = pointer
        self._at = 0

    def parse(self, *, search: bool) -> Expression:
        options = [self._anchored(search=search)]
        while self._take("|"):
            options.append(self._anchored(search=search))
        if self._at < len(self._text):
            raise self._error("there is no group to close here")
        return either(*options)

    def _anchored(self, *, search: bool) -> Expression:
        """One alternative of the whole pattern, with its anchors."""
        starts = self._take("^")
        while self._take("^"):
            pass
        body = self._terms()
        ends = self._take("$")
        while self._take("$"):
            pass
        parts = [body]
        if search and not starts:
            parts.insert(0, _ANYTHING)
        if search and not ends:
            parts.append(_ANYTHING)
        return sequence(*parts)

    def _group(self) -> Expression:
        options = [self._terms()]
        while self._take("|"):
            options.append(self._terms())
        if not self._take(")"):
            raise self._error("a group is not closed")
        return either(*options)

    def _terms(self) -> Expression:
        parts: list[Expression] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)$":
            parts.append(self._repeated(self._atom()))
        return sequence(*parts) if parts else EMPTY

    def _atom(self) -> Expression:
        character = self._next()
        if character == "(":
            if self._take("?:") or self._named_group():
                return self._group()
            if self._text[self._at : self._at + 1] == "?":
                raise self._error("lookaround is not supported")
            return self._group()
        if character == "[":
            return Characters(self._class())
        if character == ".":
            return Characters(complement(_LINE_ENDS))
        if character == "\\":
            return Characters(self._escape(_CLASSES, in_class=False))
        if character == "^":
            raise self._error("an anchor inside the pattern is not supported")
        if character in "*+?":
            raise self._error(f"nothing to repeat before {character!r}")
        return Characters(((ord(character), ord(character)),))

    def _named_group(self) -> bool:
        if not self._text.startswith("?<", self._at):
            return False
        if self._text[self._at + 2 : self._at + 3] in ("=", "!"):
            return False
        end = self._text.find(">", self._at)
        if end < 0:
            raise self._error("a group's name is not closed")
        self._at = end + 1
        return True

    def _repeated(self, atom: Expression) -> Expression:
        bounds: tuple[int, int | None] | None = None
        if self._take("*"):
            bounds = (0, None)
        elif self._take("+"):
            bounds = (1, None)
        elif self._take("?"):
            bounds = (0, 1)
        elif self._text[self._at : self._at + 1] == "{":
            bounds = self._braces()
        if bounds is None:
            return atom
        self._take("?")  # laziness does not change the language
        if self._text[self._at : self._at + 1] in ("*", "+", "{"):
            raise self._error("a repetition is repeated")
        return Repeat(atom, *bounds)

    def _braces(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        body = self._text[self._at + 1 : end] if end > 0 else ""
        least, comma, most = body.partition(",")
        if not least.isdecimal() or not (most == "" or most.isdecimal()):
            raise self._error("a brace must be escaped, or hold bounds such as {2,5}")
        self._at = end + 1
        low = int(least)
        high = None if comma and not most else int(most or least)
        if high is not None and high < low:
            raise self._error(f"the bounds {{{body}}} are the wrong way round")
        if max(low, high or 0) > _MOST_REPEATS:
            raise self._error(f"more than {_MOST_REPEATS} repetitions are not supported")
        return low, high

    def _class(self) -> Ranges:
        negated = self._take("^")
        classes = _CLASSES_TO_NEGATE if negated else _CLASSES
        ranges: list[tuple[int, int]] = []
        while not self._take("]"):
            low = self._class_member(classes)
            if (
                len(low) == 1
                and low[0][0] == low[0][1]
                and self._text[self._at : self._at + 1] == "-"
                and self._text[self._at + 1 : self._at + 2] not in ("]", "")
            ):
                self._at += 1
                high = self._class_member(classes)
                if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                    raise self._error("a character range is the wrong way round")
                ranges.append((low[0][0], high[0][0]))
            else:
                ranges += low
        found = character_set(*ranges)
        return complement(found) if negated else found

    def _class_member(self, classes: Mapping[str, Ranges]) -> Ranges:
        character = self._next()
        if character == "\\":
            return self._escape(classes, in_class=True)
        return ((ord(character), ord(character)),)

    def _escape(self, classes: Mapping[str, Ranges], *, in_class: bool) -> Ranges:
        character = self._next()
        if character in classes:
            return classes[character]
        if character in _SHORT:
            code = _SHORT[character]
        elif character == "b" and in_class:
            code = 8
        elif character == "x":
            code = self._hex(2)
        elif character == "u":
            code = self._braced_hex() if self._take("{") else self._hex(4)
        elif character == "c":
            code = ord(self._next()) % 32
        elif character.isascii() and character.isalnum():
            raise self._error(f"\\{character} is not supported")
        else:
            code = ord(character)
        return ((code, code),)

    def _hex(self, digits: int) -> int:
        return self._number(self._text[self._at : self._at + digits], digits)

    def _braced_hex(self) -> int:
        end = self._text.find("}", self._at)
        code = self._number(self._text[self._at : end], end - self._at)
        self._at += 1
        return code

    def _number(self, text: str, length: int) -> int:
        try:
            code = int(text, 16)
        except ValueError:
            raise self._error("a hexadecimal escape is incomplete") from None
        if len(text) != length or 0xD800 <= code <= 0xDFFF:
            raise self._error("a hexadecimal escape names no character")
        self._at += length
        return code

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise self._error("the pattern ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _error(self, reason: str) -> ConstraintError:
        return ConstraintError(
            f"{self._pointer or 'pattern'}: {reason} (position {self._at} of {self._text!r})",
            pointer=self._pointer,
            keyword="pattern",
        )
