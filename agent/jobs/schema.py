"""What a record looks like: a JSON Schema file, a pydantic model, or a short form.

    vendor, date: date, total!: number, currency: EUR|USD|GBP
    customer "who pays", lines: [{item, price: number}], tags: [string]

A field of the short form is a name, `!` where it is never null (documents lack fields, so that is
asked for), a description in quotes, and a type behind a colon: `string` (which is what a field
without a type is), `number`, `integer`, `boolean`, `date`, values between bars, a list in brackets,
fields in braces. A `date` is a text as it stands in the document: the model copies what it reads.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel

from ..errors import SchemaError
from .merge import POLICIES

_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "description": "Date"},
}
_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_TOKEN = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|([^\W\d][\w-]*)|([-\w.+]+)|(.))""", re.DOTALL)
"""A description, a name, another plain value, or a sign."""


@dataclass(frozen=True)
class RecordSchema:
    """`schema` is a JSON Schema of type object; with a `model` records are of its class."""

    name: str
    schema: Mapping[str, Any]
    model: type[BaseModel] | None = None

    @property
    def told(self) -> Mapping[str, Any]:
        """The schema as the model is told it: without what only says how windows are merged."""
        return _without_merge(self.schema)

    @property
    def digest(self) -> str:
        """The same for the same schema."""
        text = json.dumps(self.schema, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_schema(given: str | Path | type[BaseModel] | Mapping[str, Any]) -> RecordSchema:
    """A schema as a person names it: a JSON Schema or its file, a pydantic model or its
    `module:Class`, or the short form.

    Raises:
        SchemaError: it is none of these, or not one of an object.
    """
    if isinstance(given, Mapping):
        return _checked(str(given.get("title", "record")), given)
    if isinstance(given, type):
        return _of_model(given)
    text = str(given)
    if isinstance(given, Path) or _is_file(text):
        return _of_file(Path(text))
    if _CLASS.fullmatch(text.strip()):
        module, _, name = text.strip().partition(":")
        if name not in _TYPES:  # `total:number` is a short form of one field
            return _of_model(_found_class(module, name))
    if text.rstrip().endswith(".json") or "/" in text:
        raise SchemaError(f"{text}: no such schema file")
    return _checked("record", _Short(text).object(whole=True))


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False  # too long for a name, as a short form may be


def _of_file(path: Path) -> RecordSchema:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemaError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SchemaError(f"{path}: is not a text file in UTF-8") from None
    except json.JSONDecodeError as error:
        raise SchemaError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{path}: a schema is a JSON object")
    return _checked(path.stem, schema, path)


def _found_class(module: str, name: str) -> type[BaseModel]:
    """A class of a module that can be imported from the working folder."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise SchemaError(f"{module}:{name}: {error}") from None
    except Exception as error:  # the user's own module
        raise SchemaError(f"{module}: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(here)
    if found is None:
        raise SchemaError(f"{module}:{name}: {module} has no {name}")
    return found


def _of_model(model: type) -> RecordSchema:
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise SchemaError(f"{model!r}: a schema's class is a pydantic model")
    found = _checked(model.__name__, model.model_json_schema())
    return RecordSchema(found.name, found.schema, model)


def _checked(name: str, schema: Mapping[str, Any], path: Path | None = None) -> RecordSchema:
    where = f"{path}: " if path else ""
    if schema.get("type") != "object" or not schema.get("properties"):
        raise SchemaError(f"{where}a record's schema is of type object and has properties")
    for policy in _policies(schema):
        if policy not in POLICIES:
            known = ", ".join(POLICIES)
            raise SchemaError(f"{where}x-merge: {policy!r} is none of {known}")
    return RecordSchema(name, schema)


def _policies(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [policy for inner in schema for policy in _policies(inner)]
    if not isinstance(schema, Mapping):
        return []
    inner = [policy for value in schema.values() for policy in _policies(value)]
    return [schema["x-merge"], *inner] if "x-merge" in schema else inner


def _without_merge(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_merge(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {name: _without_merge(inner) for name, inner in schema.items() if name != "x-merge"}


class _Short:
    """Reads the short form from the left to the right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def object(self, *, whole: bool = False) -> dict[str, Any]:
        """Fields up to the closing brace, or to the end."""
        properties: dict[str, Any] = {}
        closing = "" if whole else "}"
        while True:
            name = self._name(properties)
            schema, nullable = self._field()
            properties[name] = _nullable(schema) if nullable else schema
            sign = self._sign()
            if sign == closing:
                break
            if sign != ",":
                self._refuse(f"a comma or {'the end' if whole else 'a brace'} is expected")
        return {"type": "object", "properties": properties, "required": list(properties)}

    def _name(self, known: Mapping[str, Any]) -> str:
        start = self._at
        _, name, _, _ = self._next()
        if not name:
            self._at = start
            self._refuse("a field's name is expected")
        if name in known:
            self._at = start
            self._refuse(f"{name} stands there twice")
        return name

    def _field(self) -> tuple[dict[str, Any], bool]:
        """Behind a name: its schema, and whether it may be null."""
        nullable = not self._take("!")
        start = self._at
        described, *_ = self._next()
        if described is None:
            self._at = start
        schema = self._type() if self._take(":") else dict(_TYPES["string"])
        if described is not None:
            schema["description"] = re.sub(r"\\(.)", r"\1", described)
        return schema, nullable

    def _type(self) -> dict[str, Any]:
        start = self._at
        if self._take("["):
            items = self._type()
            self._must("]")
            return {"type": "array", "items": items}
        if self._take("{"):
            return self.object()
        value = self._value()
        if self._take("|"):
            values = [value, self._value()]
            while self._take("|"):
                values.append(self._value())
            return {"type": "string", "enum": values}
        if value not in _TYPES:
            self._at = start
            self._refuse(
                f"{value!r} is no type; there are {', '.join(_TYPES)}, a|b, [...], {{...}}"
            )
        return dict(_TYPES[value])

    def _value(self) -> str:
        start = self._at
        quoted, name, plain, _ = self._next()
        value = quoted or name or plain
        if not value:
            self._at = start
            self._refuse("a type or a value is expected")
        return value

    def _next(self) -> tuple[str | None, str | None, str | None, str | None]:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            self._at = len(self._text)
            return None, None, None, None
        self._at = found.end()
        quoted, name, plain, sign = found.groups()
        return quoted, name, plain, sign

    def _sign(self) -> str:
        """The next sign, or nothing at the end."""
        start = self._at
        *others, sign = self._next()
        if any(other is not None for other in others):
            self._at = start
            return "?"
        return sign.strip() if sign else ""

    def _take(self, wanted: str) -> bool:
        start = self._at
        *_, sign = self._next()
        if sign == wanted:
            return True
        self._at = start
        return False

    def _must(self, wanted: str) -> None:
        if not self._take(wanted):
            self._refuse(f"{wanted!r} is expected")

    def _refuse(self, what: str) -> NoReturn:
        at = len(self._text) - len(self._text[self._at :].lstrip())
        rest = self._text[at : at + 20]
        place = f"at character {at + 1} ({rest!r})" if rest else "at the end"
        raise SchemaError(f"the short form of a schema: {what} {place}")


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if schema["type"] in ("array", "object"):
        return schema  # what a document lacks is an empty list, or nulls inside
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable
