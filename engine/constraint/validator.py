"""Finished values against their schema, by the `jsonschema` library.

Every standard `format` is asserted: with the language that the writer uses, and with the library's
own check where it has one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, validators
from jsonschema.exceptions import ValidationError

from .document import Document, escape
from .formats import FORMATS
from .pattern import parse_pattern
from .shapes import matches


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    """`pattern` as Python reads it, or, where it cannot, as the writer does (ECMA-262)."""
    if not validator.is_type(value, "string"):
        return
    try:
        found = re.search(pattern, value) is not None
    except re.error:
        found = matches(parse_pattern(pattern, search=True), value)
    if not found:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Draft = validators.extend(Draft202012Validator, {"pattern": _pattern})


class Validator:
    """One schema, in the words of draft 2020-12 and without references to elsewhere."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._validator = _Draft(document.root, format_checker=_formats())

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value, with its JSON pointer; `None` when it is valid."""
        error: ValidationError | None = next(self._validator.iter_errors(value), None)
        if error is None:
            return None
        pointer = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        return f"{pointer or 'value'}: {error.message}"

    def ordered(self, value: Any) -> Any:
        """The value with every object's members in the order of the schema's properties."""
        return self._ordered(value, self._document.root)

    def _ordered(self, value: Any, schema: Any) -> Any:
        while isinstance(schema, Mapping) and "$ref" in schema:
            schema = self._document.resolve(schema)
        if not isinstance(schema, Mapping):
            return value
        if "anyOf" in schema:
            fitting = (
                one for one in schema["anyOf"] if self._validator.evolve(schema=one).is_valid(value)
            )
            return self._ordered(value, next(fitting, True))
        if isinstance(value, Mapping):
            properties = schema.get("properties", {})
            names = [name for name in properties if name in value]
            names += [name for name in value if name not in properties]
            return {name: self._ordered(value[name], properties.get(name, True)) for name in names}
        if isinstance(value, (list, tuple)):
            return [self._ordered(item, schema.get("items", True)) for item in value]
        return value


def read_json(text: str) -> Any:
    """The value of a JSON text (RFC 8259), strictly.

    Raises:
        ValueError: it is not JSON, a name stands twice in an object, a number is not finite, or a
            string holds half a surrogate pair.
    """
    value = json.loads(
        text, object_pairs_hook=_unique, parse_constant=_not_json, parse_float=_finite
    )
    text.encode()
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is larger than any double")
    return value


def _not_json(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


@cache
def _formats() -> FormatChecker:
    """A checker of every standard format."""
    checker = FormatChecker(formats=())
    known: Mapping[str, Any] = Draft202012Validator.FORMAT_CHECKER.checkers
    for name in FORMATS:
        also = known.get(name)
        checker.checks(name)(partial(_is_of_format, name, also[0] if also else None))
    return checker


def _is_of_format(name: str, also: Any, value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return matches(FORMATS[name], value) and (also is None or bool(also(value)))
    except Exception:  # the library's checks raise whatever their parsers do
        return False
