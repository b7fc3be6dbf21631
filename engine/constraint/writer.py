"""The texts of a schema's values, as an automaton over bytes.

What is written is a part of what a schema allows: members in the order in which they are declared,
numbers as plain decimals, nesting as deep as a bound, and no member that the schema allows only by
not speaking of it, unless it speaks of none. Every narrowing is noted.

Two written forms share this file. `JSON` is JSON text with white space allowed between its tokens.
`NATIVE` is how Gemma's chat template writes a tool call's arguments: bare sorted keys, strings
between `<|"|>` without escapes, no white space.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from typing import Literal as Fixed

from ..errors import ConstraintError
from .bodies import Body
from .callform import SPELLS_CONTROL, CallForm
from .dfa import Dfa
from .machine import Machine
from .numbers import Inexact, Numbers
from .regular import (
    ANY,
    Both,
    Characters,
    Either,
    Expression,
    Literal,
    Not,
    Ranges,
    Repeat,
    character_set,
    complement,
    determinise,
    either,
    intersection,
    sequence,
    spelled,
)
from .shapes import EVERYTHING, NOTHING, Algebra, Arrays, Objects, Others, Strings, Term

FormName = Fixed["json", "native"]
Style = Fixed["json", "native", "key"]
_BARE_KEY = re.compile(r"[^\W\d][\w.-]*")
_MOST_COUNTED_ITEMS = 256
_SPLITS = 4
"""So many beginnings may other members' names share with those of declared ones."""


@dataclass(frozen=True)
class Limits:
    """What keeps an automaton small: how deep values nest, how deep they do where the schema says
    nothing of them, on how many levels optional members are written, the longest counted string
    (characters), and how many states there may be."""

    depth: int
    free_depth: int
    optional_depth: int
    longest: int
    states: int


LADDER = (
    Limits(depth=8, free_depth=2, optional_depth=8, longest=256, states=4_000),
    Limits(depth=8, free_depth=1, optional_depth=3, longest=64, states=6_000),
    Limits(depth=8, free_depth=0, optional_depth=2, longest=32, states=8_000),
    Limits(depth=8, free_depth=0, optional_depth=1, longest=16, states=12_000),
    Limits(depth=8, free_depth=0, optional_depth=0, longest=16, states=30_000),
)
"""Tried in order until the automaton is small enough."""


class Writer:
    """Writes the values of one algebra's terms in one form, in front of states of a machine."""

    def __init__(
        self, algebra: Algebra, machine: Machine, calls: CallForm | None, limits: Limits
    ) -> None:
        """As JSON, or as the arguments of calls in a native form."""
        self._algebra = algebra
        self._machine = machine
        self._form: FormName = "json" if calls is None else "native"
        self._quote = '"' if calls is None else calls.quote
        self._limits = limits
        self._values: dict[tuple[Term, int, int, int], int] = {}
        self._bodies: dict[tuple[Any, ...], int] = {}
        self.notes: dict[str, None] = {}

    def value(self, term: Term, target: int, depth: int | None = None, free: int = -1) -> int:
        """The state in front of every value of a term that goes on at `target`.

        `depth` is how many more levels may be opened; `free` the same inside a value that the
        schema does not describe.
        """
        depth = self._limits.depth if depth is None else depth
        if not target or term == NOTHING:
            return 0
        if term != EVERYTHING:
            free = -1
        elif free < 0:
            free = self._limits.free_depth
        key = (term, target, depth, free)
        if key not in self._values:
            self._values[key] = self._written(term, target, depth, free)
        return self._values[key]

    def _written(self, term: Term, target: int, depth: int, free: int) -> int:
        machine, shape = self._machine, self._algebra.shape(term)
        options = []
        if shape.null:
            options.append(machine.literal(b"null", target))
        for value in sorted(shape.booleans):
            options.append(machine.literal(json.dumps(value).encode(), target))
        for numbers in shape.numbers:
            options.append(self._number(numbers, target))
        for strings in shape.strings:
            options.append(self._string(strings, target))
        level = free if free >= 0 else depth
        if level > 0:
            inner = (depth - 1, free - 1) if free >= 0 else (depth - 1, -1)
            for arrays in shape.arrays:
                options.append(self._array(arrays, target, *inner))
            for objects in shape.objects:
                options.append(self._object(objects, target, *inner))
        elif shape.arrays or shape.objects:
            self.notes["values nest only so deep"] = None
        return machine.either(*options)

    def _number(self, numbers: Numbers, target: int) -> int:
        try:
            return self._machine.insert(numbers.automaton(), target)
        except Inexact as inexact:
            self._algebra.checked[inexact.keyword] = None
            return self._machine.insert(replace(numbers, step=None).automaton(), target)

    # strings

    def _string(self, strings: Strings, target: int) -> int:
        body = self._body(strings, self._close(target), self._form)
        return self._quoted(body)

    def _quoted(self, body: int) -> int:
        if self._form == "json":
            return self._machine.literal(b'"', body)
        return self._machine.control(self._quote, body)

    def _close(self, target: int) -> int:
        key = ("close", target)
        if key not in self._bodies:
            self._bodies[key] = self._quoted(target)
        return self._bodies[key]

    def _body(self, strings: Strings, close: int, style: Style) -> int:
        """What stands between the quotes (or, for a bare key, before the colon)."""
        machine = self._machine
        if strings.values is not None:
            texts = (_literal_body(text, style) for text in sorted(strings.values))
            return machine.either(
                *(machine.literal(text, close) for text in texts if text is not None)
            )
        longest = self._limits.longest
        if strings.most is not None and strings.most > longest:
            self.notes[f"counted strings have at most {longest} characters"] = None
            if strings.least > longest:
                return 0
            strings = replace(strings, most=longest)
        key = (strings, style, close)
        if key not in self._bodies:
            body = _body_of(strings, style)
            if isinstance(body, str):
                self.notes[body] = None
                return 0
            self._bodies[key] = machine.insert_body(body, close)
        return self._bodies[key]

    # arrays

    def _array(self, arrays: Arrays, target: int, depth: int, free: int) -> int:
        machine = self._machine
        if arrays.unique:
            self._algebra.checked["uniqueItems"] = None
        counted = arrays.counted[:1]
        if len(arrays.counted) > 1:
            self._algebra.checked["contains"] = None
        most = arrays.most
        if most is not None and most > _MOST_COUNTED_ITEMS:
            most = _MOST_COUNTED_ITEMS
            self.notes[f"lists have at most {most} items"] = None
        if arrays.least > _MOST_COUNTED_ITEMS:
            return 0
        term, needed, allowed = counted[0] if counted else (EVERYTHING, 0, None)
        top = needed if allowed is None else allowed + 1
        settled = max(arrays.least, len(arrays.prefix)) if most is None else most
        states: dict[tuple[int, int], int] = {}

        def after(index: int, found: int) -> int:
            """Behind `index` items of which `found` were of the counted term."""
            if allowed is not None and found > allowed:
                return 0
            index = min(index, settled + 1) if most is None else index
            key = (index, min(found, top))
            if key in states:
                return states[key]
            state = states[key] = machine.state()
            if index >= arrays.least and found >= needed:
                machine.free(state, self._spaced(machine.literal(b"]", target)))
            if most is None or index < most:
                item = self._spaced(items(index, found))
                machine.free(state, self._spaced(machine.literal(b",", item)) if index else item)
            return state

        def items(index: int, found: int) -> int:
            item = arrays.item(index)
            if not counted:
                return self.value(item, after(index + 1, 0), depth, free)
            yes, no = self._algebra.both([item, term]), self._algebra.other(term)
            return machine.either(
                self.value(yes, after(index + 1, min(found + 1, top)), depth, free),
                self.value(self._algebra.both([item, no]), after(index + 1, found), depth, free),
            )

        for index in range(settled + 1, 0, -1):  # from the end, so that no call goes deep
            for found in range(min(index, top) + 1):
                after(index, found)
        return machine.literal(b"[", after(0, 0))

    # objects

    def _object(self, objects: Objects, target: int, depth: int, free: int) -> int:
        """Members in order, each with its comma in front unless it is the first."""
        machine = self._machine
        declared = [(name, term) for name, term in objects.declared if term != NOTHING]
        if self._limits.depth - depth > self._limits.optional_depth and free < 0:
            level = self._limits.optional_depth
            self.notes[f"optional members are written on {level} levels"] = None
            declared = [member for member in declared if member[0] in objects.required]
        if self._form == "native":
            declared.sort(key=lambda member: member[0].lower())
        taken = frozenset(name for name, _ in objects.declared)
        others = self._written_others(objects, len(declared))
        if others and objects.least > len(objects.required):
            self._algebra.checked["minProperties"] = None  # an undeclared name may be repeated
        counts = bool(objects.least or objects.most is not None)
        top = max(objects.least, (objects.most or 0) + 1) if counts else 0
        states: dict[tuple[int, int, bool], int] = {}
        some = list(objects.some)

        def after(index: int, count: int, *, first: bool) -> int:
            """Behind the first `index` of declared and needed members, `count` of them written."""
            if objects.most is not None and count > objects.most:
                return 0
            key = (index, min(count, top), first)
            if key in states:
                return states[key]
            state = states[key] = machine.state()
            place = index
            choices = []
            while place < len(declared) + len(some):
                choices.append(member(place, count))
                if place >= len(declared) or declared[place][0] in objects.required:
                    break
                place += 1
            else:
                choices += [
                    self._member(other, after(place, count + 1, first=False), depth, free, taken)
                    for other in others
                ]
                if count >= objects.least:
                    machine.free(state, self._spaced(machine.literal(b"}", target)))
            following = self._spaced(machine.either(*choices))
            if first:
                machine.free(state, following)
            else:
                machine.free(state, self._spaced(machine.literal(b",", following)))
            return state

        members: dict[tuple[int, int], int] = {}

        def member(place: int, count: int) -> int:
            key = (place, min(count, top))
            if key not in members:
                behind = after(place + 1, count + 1, first=False)
                if place < len(declared):
                    name, term = declared[place]
                    value = self.value(term, behind, depth, free)
                    members[key] = self._key(name, self._colon(value))
                else:
                    needed = some[place - len(declared)]
                    members[key] = machine.either(
                        *(
                            self._member(kind, behind, depth, free, taken)
                            for kind in self._kinds(needed, objects)
                        )
                    )
            return members[key]

        for place in range(len(declared) + len(some) - 1, 0, -1):  # from the end, as above
            for count in range(min(place, top) + 1):
                member(place, count)
        return machine.literal(b"{", after(0, 0, first=True))

    def _kinds(self, needed: Others, objects: Objects) -> list[Others]:
        """What a member that must be there may be, among those that may be there at all."""
        kinds = []
        for other in objects.others:
            names = needed.names.intersect(other.names)
            value = self._algebra.both([needed.value, other.value])
            if not names.is_empty and value != NOTHING:
                kinds.append(Others(names, value))
        return kinds

    def _written_others(self, objects: Objects, declared: int) -> list[Others]:
        """The undeclared members that are written: those that the schema speaks of, and all where
        it declares none or wants more than it declares."""
        wanted = not objects.declared or objects.least > declared
        found = []
        for other in objects.others:
            if other.implied and not wanted:
                self.notes["members that the schema does not speak of are not written"] = None
            elif other.value != NOTHING:
                found.append(other)
        return found

    def _member(
        self, other: Others, target: int, depth: int, free: int, taken: frozenset[str]
    ) -> int:
        value = self._colon(self.value(other.value, target, depth, free))
        names = self._apart(other.names, taken)
        if other.names.values is not None:
            names = Strings(other.names.values - taken)
        if self._form == "json":
            close = self._machine.literal(b'"', value)
            return self._machine.literal(b'"', self._body(names, close, "json"))
        return self._body(names, value, "key")

    def _apart(self, names: Strings, taken: frozenset[str]) -> Strings:
        """Names that are not taken. Each beginning that they share with a taken one is a state in
        which nearly every token may stand, so of many taken names only a beginning is kept free."""
        excluded = names.excluded | taken
        length = max(map(len, excluded), default=0)
        kept = length
        while kept > 1 and len({name[:n] for name in excluded for n in range(1, kept)}) > _SPLITS:
            kept -= 1
        if kept == length:
            return replace(names, excluded=excluded)
        self.notes["other members' names do not begin as those of declared ones"] = None
        begun = Either(
            tuple(
                sequence(Literal(start), _ANYTHING)
                for start in sorted({name[:kept] for name in excluded})
            )
        )
        return replace(names, excluded=frozenset(), outside=names.outside | {begun})

    def _key(self, name: str, target: int) -> int:
        if self._form == "json":
            return self._machine.literal(json.dumps(name, ensure_ascii=False).encode(), target)
        if not _BARE_KEY.fullmatch(name):
            self.notes[f"{name!r} cannot be written as a bare key of a tool call"] = None
            return 0
        return self._machine.literal(name.encode(), target)

    def _colon(self, target: int) -> int:
        return self._spaced(self._machine.literal(b":", self._spaced(target)))

    def _spaced(self, target: int) -> int:
        """White space, where the form has it, in front of a state."""
        if self._form == "native" or not target:
            return target
        key = ("space", target)
        if key not in self._bodies:
            state = self._bodies[key] = self._machine.state()
            for low, high in _WHITE:
                self._machine.edge(state, low, high, state)
            self._machine.free(state, target)
        return self._bodies[key]


_ANYTHING = Repeat(Characters(ANY), 0, None)
_WHITE = ((9, 10), (13, 13), (32, 32))
_UNESCAPED = complement(((0, 31), (34, 34), (92, 92)))
_ESCAPES = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_HEX = Characters(character_set((48, 57), (65, 70), (97, 102)))
_ANY_HEX = sequence(
    Literal("\\u"),
    either(
        sequence(
            Characters(character_set((48, 57), (65, 67), (69, 70), (97, 99), (101, 102))), _HEX
        ),
        sequence(Characters(((68, 68), (100, 100))), Characters(((48, 55),))),
    ),
    _HEX,
    _HEX,
)
PLAIN_TEXT = Not(
    sequence(
        Repeat(Characters(ANY), 0, None),
        Literal("<"),
        either(
            Literal("|"),
            sequence(
                Repeat(Characters(character_set((95, 95), (97, 122))), 1, None), Literal("|>")
            ),
        ),
        Repeat(Characters(ANY), 0, None),
    )
)
"""Text without `<|` and `<name|>`: characters never spell a control token that is not meant."""
_KEY_TEXT = sequence(
    Characters(character_set((65, 90), (95, 95), (97, 122))),
    Repeat(Characters(character_set((45, 46), (48, 57), (65, 90), (95, 95), (97, 122))), 0, None),
)


def _spelling(ranges: Ranges) -> Expression:
    """Characters as JSON writes them, each in its own ways, so that sets may be subtracted."""
    options: list[Expression] = []
    plain = intersection(ranges, _UNESCAPED)
    if plain:
        options.append(Characters(plain))
    for character, short in _ESCAPES.items():
        if intersection(ranges, ((ord(character), ord(character)),)):
            options.append(Literal(f"\\{short}"))
    return Either(tuple(options))


_FREE_BODY = Repeat(
    either(
        Characters(_UNESCAPED),
        *(Literal(f"\\{short}") for short in (*_ESCAPES.values(), "/")),
        _ANY_HEX,
    ),
    0,
    None,
)
_SPELLED = Repeat(_spelling(ANY), 0, None)
_CLOSING: dict[Style, Fixed["quote", "control", "other"]] = {
    "json": "quote",
    "native": "control",
    "key": "other",
}


@lru_cache(maxsize=1024)
def _body_of(strings: Strings, style: Style) -> Body | str:
    """The body of a string that is not listed, or why it has none: to find that out takes longest,
    and is asked again for narrower limits."""
    try:
        return _made_body(strings, style)
    except ConstraintError as error:
        return str(error)


def _made_body(strings: Strings, style: Style) -> Body:
    uncounted = replace(strings, least=0, most=None)
    if strings != uncounted and uncounted.is_free:
        return Body(_characters(style), _CLOSING[style], (strings.least, strings.most))
    if style == "json":
        language = _FREE_BODY if strings.is_free else spelled(strings.expression(), _spelling)
        return Body(determinise(language), _CLOSING[style])
    guard = PLAIN_TEXT if style == "native" else _KEY_TEXT
    language = guard if strings.is_free else Both(guard, strings.expression())
    return Body(determinise(language), _CLOSING[style])


@lru_cache(maxsize=3)
def _characters(style: Style) -> Dfa:
    """Any characters as a form writes them; its final states are where a character ends."""
    return determinise({"json": _SPELLED, "native": PLAIN_TEXT, "key": _KEY_TEXT}[style])


def _literal_body(text: str, style: Style) -> bytes | None:
    """One string between its quotes; `None` where the form cannot write it."""
    try:
        if style == "json":
            return json.dumps(text, ensure_ascii=False)[1:-1].encode()
        if style == "native" and SPELLS_CONTROL.search(text):
            return None
        if style == "key" and not _BARE_KEY.fullmatch(text):
            return None
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair is no character
        return None
