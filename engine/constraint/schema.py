"""JSON Schema as a regular language, in either of two written forms.

`JSON_FORM` is JSON text with white space allowed between its tokens. `NATIVE_FORM` is how Gemma's
chat template writes a tool call's arguments: bare sorted keys, strings between `<|"|>` without
escapes, no white space. What a schema says beyond the supported keywords is refused with its
pointer; a language may be narrower than its schema, never wider.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConstraintError
from .formats import FORMATS
from .pattern import parse_pattern
from .regular import (
    ANY,
    Both,
    Characters,
    Concatenation,
    Control,
    Either,
    Expression,
    Literal,
    Ranges,
    Repeat,
    character_set,
    complement,
    either,
    intersection,
    optional,
    sequence,
)

_ANNOTATIONS = {
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    *("$schema", "$id", "$comment", "$defs", "definitions"),
}
_KEYWORDS = {
    "string": {"minLength", "maxLength", "pattern", "format"},
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "integer": set[str](),
    "number": set[str](),
    "boolean": set[str](),
    "null": set[str](),
}
_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
LONGEST_STRING = 1000
"""No counted string is longer than this, in characters; a larger `maxLength` is narrowed to it."""

_INTEGER = sequence(
    optional(Literal("-")),
    either(
        Literal("0"),
        sequence(Characters(((49, 57),)), Repeat(Characters(((48, 57),)), 0, 14)),
    ),
)
_ANY_TEXT = Repeat(Characters(ANY), 0, None)
_DIGIT = Characters(((48, 57),))
_NUMBER = sequence(
    _INTEGER,
    optional(sequence(Literal("."), Repeat(_DIGIT, 1, 15))),
    optional(
        sequence(
            Characters(((69, 69), (101, 101))),
            optional(Characters(((43, 43), (45, 45)))),
            Repeat(_DIGIT, 1, 2),
        )
    ),
)


@dataclass(frozen=True)
class Form:
    """A way of writing values: the quotes, how a set of characters is spelled between them and
    what the text between them must be besides, what may stand between tokens, and how keys are
    written and ordered."""

    quote: Expression
    spell: Callable[[Ranges], Expression]
    guard: Expression | None
    space: Expression | None
    key: Callable[[str, str], Expression]
    sort: Callable[[list[str]], list[str]]
    literal: Callable[[Any], Expression]


def _json_spelling(ranges: Ranges) -> Expression:
    """Characters as JSON writes them; a large set may also be spelled with `\\uXXXX`."""
    plain = intersection(ranges, _UNESCAPED)
    options: list[Expression] = [Characters(plain)] if plain else []
    for character, short in _ESCAPES.items():
        if intersection(ranges, ((ord(character), ord(character)),)):
            options.append(Literal(f"\\{short}"))
    if ranges == ANY:
        options.append(_ANY_HEX)
    else:
        for low, high in intersection(ranges, ((0, 31),)):
            options += [Literal(f"\\u{code:04x}") for code in range(low, high + 1)]
    return either(*options)


_UNESCAPED = complement(((0, 31), (34, 34), (92, 92)))
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
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


def _json_key(name: str, _: str) -> Expression:
    return Literal(json.dumps(name, ensure_ascii=False))


def _native_key(name: str, pointer: str) -> Expression:
    if not _BARE_KEY.fullmatch(name):
        raise ConstraintError(
            f"{pointer}: {name!r} cannot be written as a bare key of a tool call;"
            " use letters, digits, _ . -",
            pointer=pointer,
            keyword="properties",
        )
    return Literal(name)


def _json_literal(value: Any) -> Expression:
    return Literal(json.dumps(value, ensure_ascii=False))


def _native_literal(value: Any) -> Expression:
    if isinstance(value, str):
        if "<|" in value:
            raise ConstraintError(f"{value!r} cannot be written in a tool call: it holds '<|'")
        return Concatenation((_QUOTE, Literal(value), _QUOTE))
    return Literal(json.dumps(value))


_QUOTE = Control('<|"|>')
_ANGLE = ((60, 60),)
PLAIN_TEXT = sequence(
    Repeat(
        either(
            Characters(complement(_ANGLE)),
            sequence(
                Repeat(Characters(_ANGLE), 1, None),
                Characters(complement(((60, 60), (124, 124)))),
            ),
        ),
        0,
        None,
    ),
    Repeat(Characters(_ANGLE), 0, None),
)
"""Text without `<|`, so that characters never spell a control token that is not meant."""
JSON_FORM = Form(
    quote=Literal('"'),
    spell=_json_spelling,
    guard=None,
    space=Repeat(Characters(character_set((9, 10), (13, 13), (32, 32))), 0, None),
    key=_json_key,
    sort=list,
    literal=_json_literal,
)
NATIVE_FORM = Form(
    quote=_QUOTE,
    spell=Characters,
    guard=PLAIN_TEXT,
    space=None,
    key=_native_key,
    sort=lambda names: sorted(names, key=str.lower),
    literal=_native_literal,
)


def compile_schema(
    schema: Any, form: Form, *, pointer: str = ""
) -> tuple[Expression, tuple[str, ...]]:
    """The language of a schema's values in a form, and notes on where it is narrower.

    Raises:
        ConstraintError: a keyword is not supported, or no value can satisfy the schema.
    """
    compiler = _Compiler(schema, form)
    return compiler.value(schema, pointer, ()), tuple(dict.fromkeys(compiler.notes))


class _Compiler:
    """One schema document on its way to an expression."""

    def __init__(self, root: Any, form: Form) -> None:
        self._root = root
        self._form = form
        self.notes: list[str] = []

    def value(self, schema: Any, pointer: str, path: tuple[str, ...]) -> Expression:
        """A value of a (sub)schema; `path` holds the references that are being followed."""
        if not isinstance(schema, Mapping):
            raise _refused(pointer, None, "a schema that allows any value is not supported yet")
        if "$ref" in schema:
            return self._reference(schema, pointer, path)
        if "anyOf" in schema:
            self._only(schema, {"anyOf"}, pointer)
            options = schema["anyOf"]
            if not isinstance(options, list) or not options:
                raise _refused(pointer, "anyOf", "must be a list of at least one schema")
            return Either(
                tuple(
                    self.value(option, f"{pointer}/anyOf/{index}", path)
                    for index, option in enumerate(options)
                )
            )
        if "const" in schema:
            self._only(schema, {"const", "type"}, pointer)
            return self._literals([schema["const"]], schema, pointer, "const")
        if "enum" in schema:
            self._only(schema, {"enum", "type"}, pointer)
            options = schema["enum"]
            if not isinstance(options, list) or not options:
                raise _refused(pointer, "enum", "an empty enum allows no value")
            return self._literals(options, schema, pointer, "enum")
        return self._typed(schema, pointer, path)

    def _typed(self, schema: Mapping[str, Any], pointer: str, path: tuple[str, ...]) -> Expression:
        kinds = schema.get("type", "object" if "properties" in schema else None)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not kinds:
            self._only(schema, set(), pointer)
            raise _refused(pointer, None, "a schema that allows any value is not supported yet")
        for kind in kinds:
            if kind not in _KEYWORDS:
                raise _refused(pointer, "type", f"there is no type {kind!r}")
        self._only(schema, {"type"}.union(*(_KEYWORDS[kind] for kind in kinds)), pointer)
        return either(*(self._of_type(kind, schema, pointer, path) for kind in kinds))

    def _of_type(
        self, kind: str, schema: Mapping[str, Any], pointer: str, path: tuple[str, ...]
    ) -> Expression:
        match kind:
            case "object":
                return self._object(schema, pointer, path)
            case "array":
                return self._array(schema, pointer, path)
            case "string":
                return self._string(schema, pointer)
            case "integer":
                return _INTEGER
            case "number":
                return _NUMBER
            case "boolean":
                return either(Literal("true"), Literal("false"))
            case _:
                return Literal("null")

    def _only(self, schema: Mapping[str, Any], allowed: set[str], pointer: str) -> None:
        """Refuse every keyword that is neither allowed here nor an annotation."""
        for keyword in schema:
            if keyword not in allowed and keyword not in _ANNOTATIONS:
                raise _refused(pointer, keyword, "is not supported here yet")

    def _reference(
        self, schema: Mapping[str, Any], pointer: str, path: tuple[str, ...]
    ) -> Expression:
        self._only(schema, {"$ref"}, pointer)
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise _refused(pointer, "$ref", f"{reference!r} is not inside this schema")
        if reference in path:
            raise _refused(pointer, "$ref", f"{reference} refers to itself: no bound is known")
        target = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or key not in target:
                raise _refused(pointer, "$ref", f"{reference} is not in this schema")
            target = target[key]
        return self.value(target, reference.removeprefix("#"), (*path, reference))

    def _literals(
        self, options: list[Any], schema: Mapping[str, Any], pointer: str, keyword: str
    ) -> Expression:
        kinds = schema.get("type")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        fitting = []
        for option in options:
            if isinstance(option, (dict, list)):
                raise _refused(pointer, keyword, "only strings, numbers, booleans and null, yet")
            if kinds is None or any(_is_of_type(option, kind) for kind in kinds):
                fitting.append(self._form.literal(option))
        if not fitting:
            raise _refused(pointer, keyword, f"no value of it is of type {kinds}")
        return either(*fitting)

    def _string(self, schema: Mapping[str, Any], pointer: str) -> Expression:
        least = self._count(schema, "minLength", pointer, 0)
        most = self._count(schema, "maxLength", pointer, None)
        languages: list[Expression] = []
        if "format" in schema:
            name = schema["format"]
            if name not in FORMATS:
                raise _refused(pointer, "format", f"{name!r} is not supported yet")
            languages.append(FORMATS[name])
        if "pattern" in schema:
            place = f"{pointer}/pattern"
            languages.append(parse_pattern(schema["pattern"], search=True, pointer=place))
        if least or most is not None or not languages:
            if most is not None and most > LONGEST_STRING:
                self.notes.append(
                    f"{pointer}/maxLength: strings are kept under {LONGEST_STRING} characters"
                )
                most = LONGEST_STRING
            if least > LONGEST_STRING or (most is not None and least > most):
                raise _refused(pointer, "minLength", "no string is that long here")
            languages.append(Repeat(Characters(ANY), least, most))
        if self._form.guard and languages == [_ANY_TEXT]:
            return sequence(self._form.quote, self._form.guard, self._form.quote)
        parts = [_spelled(language, self._form.spell) for language in languages]
        body, *others = parts if self._form.guard is None else [*parts, self._form.guard]
        for other in others:
            body = Both(body, other)
        return sequence(self._form.quote, body, self._form.quote)

    def _array(self, schema: Mapping[str, Any], pointer: str, path: tuple[str, ...]) -> Expression:
        if "items" not in schema:
            raise _refused(pointer, "type", "an array needs `items`, yet")
        least = self._count(schema, "minItems", pointer, 0)
        most = self._count(schema, "maxItems", pointer, None)
        if most is not None and least > most:
            raise _refused(pointer, "minItems", "is larger than maxItems")
        if most == 0:
            return self._spaced(Literal("["), Literal("]"))
        item = self.value(schema["items"], f"{pointer}/items", path)
        more = Repeat(
            self._spaced(Literal(","), item, lead=True),
            max(0, least - 1),
            None if most is None else most - 1,
        )
        full = self._spaced(Literal("["), item)
        filled = self._spaced(sequence(full, more), Literal("]"))
        if least:
            return filled
        return either(filled, self._spaced(Literal("["), Literal("]")))

    def _object(self, schema: Mapping[str, Any], pointer: str, path: tuple[str, ...]) -> Expression:
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping):
            raise _refused(pointer, "properties", "must be an object")
        required = schema.get("required", [])
        for name in required:
            if name not in properties:
                raise _refused(pointer, "required", f"{name!r} is not among the properties")
        if schema.get("additionalProperties") not in (None, False):
            self.notes.append(f"{pointer}/additionalProperties: none are written")
        members = [
            self._spaced(
                self._form.key(name, f"{pointer}/properties/{name}"),
                Literal(":"),
                self.value(properties[name], f"{pointer}/properties/{name}", path),
            )
            for name in self._form.sort(list(properties))
        ]
        is_required = [name in required for name in self._form.sort(list(properties))]
        return self._spaced(Literal("{"), self._members(members, is_required), Literal("}"))

    def _members(self, members: list[Expression], required: list[bool]) -> Expression:
        """The members in order, with commas between those that are there.

        One option for each member that can stand first: up to and including the first required
        one. After it, every member brings its own comma.
        """
        following = [self._spaced(Literal(","), member, lead=True) for member in members]
        rest = [
            comma_member if needed else optional(comma_member)
            for comma_member, needed in zip(following, required, strict=True)
        ]
        options: list[Expression] = []
        for index, member in enumerate(members):
            options.append(sequence(member, *rest[index + 1 :]))
            if required[index]:
                break
        else:
            options.append(Concatenation(()))
        return either(*options)

    def _spaced(self, *parts: Expression, lead: bool = False) -> Expression:
        """Parts with the form's white space between them, and before them with `lead`."""
        space = self._form.space
        if space is None:
            return sequence(*parts)
        spaced: list[Expression] = [space] if lead else []
        for index, part in enumerate(parts):
            spaced += [space, part] if index else [part]
        return sequence(*spaced)

    def _count(
        self, schema: Mapping[str, Any], keyword: str, pointer: str, default: int | None
    ) -> Any:
        value = schema.get(keyword, default)
        if value is default:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise _refused(pointer, keyword, f"must be a non-negative integer, not {value!r}")
        if value != math.floor(value):
            raise _refused(pointer, keyword, f"must be a whole number, not {value!r}")
        return int(value)


def _spelled(language: Expression, spell: Callable[[Ranges], Expression]) -> Expression:
    """A language over characters, with every character written as the form writes it."""
    match language:
        case Characters(ranges):
            return spell(ranges)
        case Literal(text):
            return Concatenation(tuple(spell(((ord(one), ord(one)),)) for one in text))
        case Concatenation(parts):
            return Concatenation(tuple(_spelled(part, spell) for part in parts))
        case Either(options):
            return Either(tuple(_spelled(option, spell) for option in options))
        case Repeat(part, least, most):
            return Repeat(_spelled(part, spell), least, most)
        case Both(first, second):
            return Both(_spelled(first, spell), _spelled(second, spell))
        case Control():
            return language


def _is_of_type(value: Any, kind: str) -> bool:
    """Whether a scalar is of a JSON Schema type; 1.0 is an integer, true is not a number."""
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return kind == "number" or (kind == "integer" and value == math.floor(value))


def _refused(pointer: str, keyword: str | None, reason: str) -> ConstraintError:
    place = f"{pointer}/{keyword}" if keyword else pointer
    return ConstraintError(f"{place or 'schema'}: {reason}", pointer=place, keyword=keyword)
