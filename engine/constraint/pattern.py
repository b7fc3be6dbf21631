"""ECMA regular expressions (the `pattern` keyword, and `regex`) as expressions.

Unicode mode as JSON Schema recommends, with what patterns borrow from elsewhere where it is plain
(`\\A`, `\\Z`, `(?P<name>`, a leading `(?i)`). Whoever validates may use Python's `re`, so where it
reads a pattern otherwise than ECMA, what both allow is taken: each set of characters has a narrow
side, in both, and a wide one, in either, and what is negated is taken from the wide side. `$` is
before no line end, `{,5}` and `[]x]` are read as Python does, and an escaped pair of surrogates
stands for its character only where Python cannot match the pattern anyhow. Back-references, atomic
groups and possessive repetitions are refused.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from ..errors import ConstraintError
from .assertion import BEGIN, END, LookaheadBehindError, look, without_assertions
from .regular import (
    ANY,
    LAST_CODE_POINT,
    Characters,
    Concatenation,
    Either,
    Expression,
    Ranges,
    Repeat,
    character_set,
    complement,
    either,
    intersection,
    sequence,
)
from .unicode import category_ranges, property_ranges

_DIGITS = character_set((48, 57))
_WORD = character_set((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE = character_set((9, 13), (32, 32))
_ANY_SPACE = character_set(
    *((9, 13), (28, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_LETTERS = ((65, 90), (97, 122))
_FOLDED_FROM_BEYOND = {"i": "İı", "I": "İı", "k": "\u212a", "K": "\u212a", "s": "ſ", "S": "ſ"}
_LINE_ENDS = character_set((10, 10), (13, 13), (0x2028, 0x2029))
# Beyond ASCII, what Python holds to be of a word is some 700 ranges. These whole blocks of
# punctuation, symbols and pictures hold none of it; the rest is taken to be in either.
_NEVER_OF_A_WORD = character_set(
    *((0x80, 0xA9), (0xAB, 0xB1), (0xB4, 0xB4), (0xB6, 0xB8), (0xBB, 0xBB), (0xBF, 0xBF)),
    *((0xD7, 0xD7), (0xF7, 0xF7), (0x2000, 0x206F), (0x20A0, 0x20C0), (0x2190, 0x245F)),
    *((0x2500, 0x2775), (0x3000, 0x3004), (0x3008, 0x3020), (0xFF01, 0xFF0F)),
    *((0x1F300, 0x1FAFF),),
)
_WIDE_WORD = character_set(
    *_WORD, *intersection(complement(_NEVER_OF_A_WORD), complement(((0, 127),)))
)
_SHORT = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7}
_ESCAPED_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_BRACES = re.compile(r"\{(\d*)(,?)(\d*)\}")
_NAMED_GROUP = re.compile(r"\?P?<[^\W\d][\w$]*>")
_FLAGS = re.compile(r"\?([a-zA-Z]+)(-[a-zA-Z]+)?([:)])")
_CLASS_THAT_BEGINS_WITH_A_BRACKET = re.compile(r"(?:[^\]\\]|\\.)*\]", re.DOTALL)
MOST_CHARACTERS = 10_000
"""A pattern whose repetitions, written out, are longer than this is refused."""


def parse_pattern(pattern: str, *, search: bool, pointer: str = "") -> Expression:
    """The expression of a pattern; with `search`, of every text that contains a match.

    Raises:
        ConstraintError: the pattern is not valid, not regular, or too large; the message names
            the position in it.
    """
    parser = _Parser(pattern, pointer, joins_pairs=not search or not _python_reads_pairs(pattern))
    parsed = parser.parse()
    try:
        return without_assertions(parsed, search=search)
    except LookaheadBehindError:
        raise parser.error("a lookahead inside a lookbehind is not supported") from None
    except ConstraintError as error:
        raise parser.error(str(error)) from None


def _python_reads_pairs(pattern: str) -> bool:
    """Whether Python takes the pattern's escaped pairs for two characters each, and so matches no
    text with them."""
    if not _ESCAPED_PAIR.search(pattern):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except re.error:
        return False
    return True


@dataclass(frozen=True)
class _Mode:
    """How a part of the pattern is read: whether on the wide side, and its flags."""

    wide: bool = False
    ignore_case: bool = False
    dot_all: bool = False


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str, pointer: str, *, joins_pairs: bool) -> None:
        self._text = pattern
        self._pointer = pointer
        self._joins_pairs = joins_pairs
        self._at = 0
        self._mode = _Mode()

    def parse(self) -> Expression:
        flags = _FLAGS.match(self._text, 1) if self._text.startswith("(") else None
        if flags and flags[3] == ")":
            self._at = flags.end()
            self._mode = self._flagged(flags[1], flags[2])
        parsed = self._options()
        if self._at < len(self._text):
            raise self.error("there is no group to close here")
        if _written_out(parsed) > MOST_CHARACTERS:
            raise self.error(
                f"the pattern is longer than {MOST_CHARACTERS} characters when its repetitions"
                " are written out"
            )
        return parsed

    def _options(self) -> Expression:
        options = [self._terms()]
        while self._take("|"):
            options.append(self._terms())
        return either(*options)

    def _terms(self) -> Expression:
        parts: list[Expression] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._term())
        return sequence(*parts)

    def _term(self) -> Expression:
        start = self._at
        anchor = self._anchor()
        atom = anchor or self._atom()
        bounds = self._bounds()
        if bounds is None:
            return atom
        if anchor is not None:
            self._at = start
            raise self.error("an anchor cannot be repeated")
        self._take("?")  # laziness does not change the language
        following = self._peek()
        if following == "+":
            raise self.error("a possessive repetition is not supported")
        if following in ("*", "?") or (following == "{" and self._braces() is not None):
            raise self.error("a repetition is repeated")
        return Repeat(atom, *bounds)

    def _anchor(self) -> Expression | None:
        if self._take("^") or self._take("\\A"):
            return BEGIN
        if self._take("\\Z") or self._take("\\z"):
            return END
        if self._take("$"):
            if not self._mode.wide:
                return END
            line_end = Characters(((10, 10),))
            return either(END, look(sequence(line_end, END), ahead=True))
        if self._take("\\b"):
            return self._boundary(between=False)
        return self._boundary(between=True) if self._take("\\B") else None

    def _boundary(self, *, between: bool) -> Expression:
        """`\\b`, where a word begins or ends, or `\\B`, where both neighbours are of one kind."""
        word = Characters(self._named_class("w", wide=self._mode.wide))
        excluded = Characters(self._named_class("w", wide=not self._mode.wide))
        after, before = look(word, ahead=False), look(word, ahead=True)
        not_after = look(excluded, ahead=False, negated=True)
        not_before = look(excluded, ahead=True, negated=True)
        if not between:
            return either(sequence(after, not_before), sequence(not_after, before))
        inside, outside = sequence(after, before), sequence(not_after, not_before)
        if self._mode.wide:
            return either(inside, outside)
        # Python before 3.14 does not find \B in an empty text.
        anything = Characters(ANY)
        some_text = either(look(anything, ahead=False), look(anything, ahead=True))
        return either(inside, sequence(outside, some_text))

    def _atom(self) -> Expression:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return Characters(self._class())
        if character == ".":
            if self._mode.dot_all:
                return Characters(ANY)
            return Characters(complement(((10, 10),) if self._mode.wide else _LINE_ENDS))
        if character == "\\":
            found = self._escape(in_class=False, wide=self._mode.wide)
            return self._character(found) if isinstance(found, int) else Characters(found)
        if character in "*+?" or (character == "{" and self._braces(self._at - 1) is not None):
            raise self.error(f"nothing to repeat before {character!r}")
        return self._character(ord(character))

    def _character(self, code: int) -> Expression:
        ranges = intersection(((code, code),), ANY)
        if self._mode.ignore_case:
            ranges = _any_case(ranges, wide=self._mode.wide)
        return Characters(ranges)

    def _group(self) -> Expression:
        mode = self._mode
        named = _NAMED_GROUP.match(self._text, self._at)
        flags = _FLAGS.match(self._text, self._at)
        if named:
            self._at = named.end()
        elif flags and flags[3] == ":":
            self._at = flags.end()
            self._mode = self._flagged(flags[1], flags[2])
        elif self._peek() == "?" and not self._take("?:"):
            return self._lookaround()
        found = self._options()
        self._close()
        self._mode = mode
        return found

    def _lookaround(self) -> Expression:
        mode = self._mode
        for spelling, ahead, negated in _LOOKS:
            if self._take(spelling):
                self._mode = _Mode(mode.wide != negated, mode.ignore_case, mode.dot_all)
                part = self._options()
                self._close()
                self._mode = mode
                return look(part, ahead=ahead, negated=negated)
        raise self.error(
            f"a group that begins with (?{self._text[self._at + 1 :][:1]} is not supported"
        )

    def _flagged(self, on: str, off: str | None) -> _Mode:
        if not set(on) <= set("isu") or not set(off or "") <= set("-is"):
            raise self.error(f"the flags {on}{off or ''} are not supported, only i and s")
        removed = off or ""
        return _Mode(
            self._mode.wide,
            ("i" in on or self._mode.ignore_case) and "i" not in removed,
            ("s" in on or self._mode.dot_all) and "s" not in removed,
        )

    def _close(self) -> None:
        if not self._take(")"):
            raise self.error("a group is not closed")

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        match = self._braces()
        if match is None:
            return None
        low = int(match[1] or 0)
        high = low if not match[2] else int(match[3]) if match[3] else None
        if high is not None and high < low:
            raise self.error(f"the bounds {match[0]} are the wrong way round")
        if max(low, high or 0) > MOST_CHARACTERS:
            raise self.error(f"more than {MOST_CHARACTERS} repetitions are not supported")
        self._at = match.end()
        return low, high

    def _braces(self, at: int | None = None) -> re.Match[str] | None:
        """Bounds in braces; other braces stand for themselves."""
        match = _BRACES.match(self._text, self._at if at is None else at)
        return match if match and match[0] != "{}" else None

    def _class(self) -> Ranges:
        negated = self._take("^")
        wide = self._mode.wide != negated
        ranges: list[tuple[int, int]] = []
        is_first = _CLASS_THAT_BEGINS_WITH_A_BRACKET.match(self._text, self._at + 1) is not None
        while (is_first and self._peek() == "]") or not self._take("]"):
            is_first = False
            low = self._class_member(wide=wide)
            dash = self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", "")
            if not dash:
                ranges += ((low, low),) if isinstance(low, int) else low
                continue
            self._at += 1
            high = self._class_member(wide=wide)
            if not isinstance(low, int) or not isinstance(high, int):
                ranges.append((45, 45))  # a dash beside a class stands for itself
                for one in (low, high):
                    ranges += ((one, one),) if isinstance(one, int) else one
            elif high < low:
                raise self.error("a character range is the wrong way round")
            else:
                ranges.append((low, high))
        found = intersection(character_set(*ranges), ANY)
        if self._mode.ignore_case:
            found = _any_case(found, wide=wide)
        return complement(found) if negated else found

    def _class_member(self, *, wide: bool) -> int | Ranges:
        character = self._next()
        if character == "\\":
            return self._escape(in_class=True, wide=wide)
        return ord(character)

    def _escape(self, *, in_class: bool, wide: bool) -> int | Ranges:
        """The code of an escaped character, or the set that an escape names."""
        character = self._next()
        if character in "dDwWsS":
            return self._named_class(character, wide=wide)
        if character in "pP":
            return self._property(negated=character == "P")
        if character in _SHORT:
            return _SHORT[character]
        if character == "b" and in_class:
            return 8
        if character == "x":
            return self._hex(2)
        if character == "U":
            return self._hex(8)
        if character == "u":
            return self._braced_hex() if self._take("{") else self._unit(wide=wide)
        if character == "c" and self._peek().isascii() and self._peek().isalpha():
            return ord(self._next()) % 32
        if character in "01234567":
            return self._octal(in_class=in_class)
        if character.isascii() and character.isalnum():
            raise self.error(f"\\{character} is not supported")
        return ord(character)

    def _named_class(self, name: str, *, wide: bool) -> Ranges:
        if name.isupper():
            return complement(self._named_class(name.lower(), wide=not wide))
        if name == "d":
            return character_set(*_DIGITS, *category_ranges("Nd")) if wide else _DIGITS
        if name == "w":
            return _WIDE_WORD if wide else _WORD
        return _ANY_SPACE if wide else _SPACE

    def _property(self, *, negated: bool) -> Ranges:
        end = self._text.find("}", self._at)
        if self._take("{") and end > 0:
            name = self._text[self._at : end]
            self._at = end + 1
        else:
            name = self._next()
        found = property_ranges(name.removeprefix("^"))
        if found is None:
            raise self.error(f"\\p{{{name}}} is not a property that is known here")
        return complement(found) if negated != name.startswith("^") else found

    def _octal(self, *, in_class: bool) -> int:
        """`\\0` and what both Python and old ECMA take for an octal code."""
        match = re.compile(r"0[0-7]{0,2}|[0-3][0-7]{2}").match(self._text, self._at - 1)
        if match is None and in_class:
            match = re.compile(r"[0-7]{1,2}").match(self._text, self._at - 1)
        if match is None:
            raise self.error(f"\\{self._text[self._at - 1]}, a back-reference, is not supported")
        self._at = match.end()
        return int(match[0], 8)

    def _unit(self, *, wide: bool) -> int:
        """Four hexadecimal digits, and the pair's other half where pairs are joined."""
        code = self._hex(4)
        pair = _ESCAPED_PAIR.match(self._text, self._at - 6)
        if pair is None or not (wide or self._joins_pairs):
            return code
        self._at += 2
        return 0x10000 + ((code - 0xD800) << 10) + (self._hex(4) - 0xDC00)

    def _hex(self, digits: int) -> int:
        return self._number(self._text[self._at : self._at + digits], digits)

    def _braced_hex(self) -> int:
        end = self._text.find("}", self._at)
        code = self._number(self._text[self._at : end], end - self._at)
        self._at += 1
        return code

    def _number(self, text: str, length: int) -> int:
        if len(text) != length or not re.fullmatch("[0-9a-fA-F]+", text):
            raise self.error("a hexadecimal escape is incomplete")
        code = int(text, 16)
        if code > LAST_CODE_POINT:
            raise self.error("a hexadecimal escape names no character")
        self._at += length
        return code

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise self.error("the pattern ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def error(self, reason: str) -> ConstraintError:
        """What to raise for a reason, at the place that was reached."""
        text = self._text if len(self._text) <= 200 else f"{self._text[:200]}…"
        return ConstraintError(
            f"{self._pointer or 'pattern'}: {reason} (position {self._at} of {text!r})",
            pointer=self._pointer,
            keyword="pattern",
        )


_LOOKS = (("?=", True, False), ("?!", True, True), ("?<=", False, False), ("?<!", False, True))


def _any_case(ranges: Ranges, *, wide: bool) -> Ranges:
    """The set with both cases of its ASCII letters; on the wide side, with all that may fold."""
    swapped = [
        (low ^ 32, high ^ 32)
        for letters in _LETTERS
        for low, high in intersection(ranges, (letters,))
    ]
    if not wide or not (swapped or (ranges and ranges[-1][1] > 127)):
        return character_set(*ranges, *swapped)
    folded = [
        (ord(letter), ord(letter))
        for letter, others in _FOLDED_FROM_BEYOND.items()
        if any(intersection(ranges, ((ord(other), ord(other)),)) for other in others)
    ]
    return character_set(*ranges, *swapped, *folded, (128, LAST_CODE_POINT))


def _written_out(expression: Expression) -> int:
    """How many characters there are when every bounded repetition is written out."""
    match expression:
        case Concatenation(parts) | Either(parts):
            return sum(_written_out(part) for part in parts)
        case Repeat(part, least, most):
            return _written_out(part) * max(least, most or 0, 1)
    return 1
