"""What a server offers, made fit for a model.

A description is data from somebody else: it is shown to the model, so it is cut, and what nobody
sees or what could read as a control token is taken out of it. It gives no rights. What cannot be
made fit is refused, tool by tool, with the reason. Annotations are a server's word about itself,
and are not read.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ServerError
from ..name import called

if TYPE_CHECKING:
    from mcp.types import Tool

TOOLS = 256
"""Tools that one server may offer."""
DESCRIPTION = 1000
"""Characters of a tool's description."""
PARAMETER = 300
"""Characters of a parameter's description."""
SCHEMA = 20_000
"""Characters of a tool's schema."""
DEPTH = 24
"""Levels of a schema."""
NAME = 64
"""Characters of a name towards the model, which several APIs allow at most."""

_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LEFT_OUT = frozenset({"title", "examples", "$comment"})
_CONTROL = re.compile(r"<\||\|>")


@dataclass(frozen=True)
class Offer:
    """`tool` is the server's own name of it, `name` that towards the model."""

    tool: str
    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Offers:
    """The tools by the server's names of them, and why each of the others is refused."""

    fit: Mapping[str, Offer]
    refused: Mapping[str, str]


def offers(server: str, listed: Sequence[Tool]) -> Offers:
    fit: dict[str, Offer] = {}
    refused: dict[str, str] = {}
    claims = Counter(called(f"{server}/{one.name}") for one in listed)
    for one in listed:
        try:
            offer = _offer(server, one)
            if claims[offer.name] > 1:
                raise ServerError(f"{claims[offer.name]} of its tools would be called {offer.name}")
            fit[one.name] = offer
        except ServerError as error:
            refused[_visible(one.name, NAME)] = str(error)
    return Offers(fit, refused)


def _offer(server: str, one: Tool) -> Offer:
    if not re.fullmatch(r"[A-Za-z0-9_./-]+", one.name):
        raise ServerError("its name holds other characters than letters, digits, _ - . /")
    name = called(f"{server}/{one.name}")
    if len(name) > NAME:
        raise ServerError(f"its name is longer than {NAME} characters: {_visible(name, 2 * NAME)}")
    schema = one.input_schema
    if not isinstance(schema.get("properties", {}), dict):
        raise ServerError("its schema has no properties by their names")
    parameters = _schema(schema, DEPTH)
    size = len(json.dumps(parameters, ensure_ascii=False))
    if size > SCHEMA:
        raise ServerError(f"its schema has {size:,} characters, more than the {SCHEMA:,} allowed")
    description = _visible(one.description or "", DESCRIPTION) or one.name
    return Offer(one.name, name, description, parameters)


def _schema(value: Any, depth: int) -> Any:
    """A schema without what the model has no use of."""
    if not isinstance(value, dict):
        return _values(value, depth)
    if depth == 0:
        raise ServerError(f"its schema has more than {DEPTH} levels")
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if key in _LEFT_OUT:
            continue
        if key == "description":
            kept[key] = _visible(inner, PARAMETER) if isinstance(inner, str) else ""
        elif key in _NAMED and isinstance(inner, dict):
            kept[key] = {_sound(n): _schema(part, depth - 1) for n, part in inner.items()}
        elif key in ("const", "default", "enum"):
            kept[key] = _values(inner, depth - 1)
        elif isinstance(inner, list):
            kept[_sound(key)] = [_schema(part, depth - 1) for part in inner]
        else:
            kept[_sound(key)] = _schema(inner, depth - 1)
    return kept


def _values(value: Any, depth: int) -> Any:
    """The same JSON value, where it can be shown."""
    if depth == 0:
        raise ServerError(f"its schema has more than {DEPTH} levels")
    if isinstance(value, str):
        return _sound(value)
    if isinstance(value, list):
        return [_values(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {_sound(key): _values(item, depth - 1) for key, item in value.items()}
    return value


def _sound(text: str) -> str:
    if _CONTROL.search(text) or any(_unseen(c) and c not in "\t\n\r" for c in text):
        raise ServerError(f"its schema holds what nobody sees: {text[:NAME]!a}")
    return text


def _visible(text: str, limit: int) -> str:
    """On one line, without control and format characters, and no longer than the limit."""
    seen = "".join(" " if _unseen(character) else character for character in text[: 4 * limit])
    seen = _CONTROL.sub(lambda found: " ".join(found[0]), " ".join(seen.split()))
    return seen if len(seen) <= limit else f"{seen[: limit - 1]}…"


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
