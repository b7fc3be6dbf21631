"""What the three APIs' requests have in common: how their parts are read, and made the engine's.

A part is a pydantic model that knows all its fields. `null` is as if it were not there, and what it
does not know is refused by its place in the request (`messages[2].content[0].type`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ...engine import (
    Constraint,
    ConstraintError,
    Image,
    Message,
    Request,
    ToolDeclaration,
    json_schema,
)
from ...engine import ToolCall as Call
from .refusal import refusal_of, wrong

Model = TypeVar("Model", bound="Part")

TOKENS_MOST = 2**31 - 1
SEED_MOST = 2**63

_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)

Tokens = Annotated[int, Field(ge=1, le=TOKENS_MOST)]
Seed = Annotated[int, Field(ge=-SEED_MOST, lt=SEED_MOST)]


@dataclass(frozen=True)
class Asked:
    """A request as the engine takes it, and what its answer's form depends on. `fields` are those
    of the request that were understood."""

    request: Request
    model: str
    stream: bool
    fields: Mapping[str, Any]
    include_usage: bool = False


class Part(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: item for name, item in value.items() if item is not None}


def texts(kind: str) -> BeforeValidator:
    """A text is short for a list of one part of this type."""

    def listed(value: Any) -> Any:
        return [{"type": kind, "text": value}] if isinstance(value, str) else value

    return BeforeValidator(listed)


def parsed(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """The fields as a part. Raises `Refusal`."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        raise wrong(_place(first["loc"], fields), first["msg"]) from None


def _place(steps: Sequence[int | str], fields: Any) -> str:
    """Where in the request that is: pydantic's steps, but for those that name a member of a union,
    which are found in no request."""
    place = ""
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        if isinstance(step, int):
            place += f"[{step}]"
            fields = fields[step] if isinstance(fields, list) and step < len(fields) else None
        elif isinstance(fields, dict) and (step in fields or last):
            place += f".{step}" if place else step
            fields = fields.get(step)
    return place


def declaration(
    place: str, name: str, description: str | None, parameters: Mapping[str, Any] | None
) -> ToolDeclaration:
    """A tool as the engine is told of it; a schema without a type is an object's."""
    given = {"type": "object", "properties": {}, **(parameters or {})}
    if not isinstance(given["properties"], dict):
        raise wrong(place, "the properties of a tool's parameters are an object")
    return ToolDeclaration(name, description or "", given)


def constraint(place: str, schema: Any) -> Constraint:
    """The texts of a schema. Raises `Refusal`."""
    try:
        return json_schema(schema)
    except ConstraintError as error:
        raise refusal_of(error, schema=place, messages="", tokens="") from None


def one_of(place: str, name: str, tools: Sequence[ToolDeclaration]) -> str:
    """The name of a tool that must be called, and is among those declared."""
    if name not in [tool.name for tool in tools]:
        raise wrong(place, f"no tool is called {name!r}")
    return name


def call(place: str, name: str, arguments: str) -> Call:
    """A call of the conversation, whose arguments are JSON text."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise wrong(place, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise wrong(place, "the arguments of a call are an object")
    return Call(name, value)


def image(place: str, url: str) -> Image:
    """The picture of a data URL (RFC 2397). Raises `Refusal`, also for any other address."""
    found = _DATA_URL.match(url)
    if found is None:
        what = "only a data URL (data:image/png;base64,…): this server fetches nothing"
        raise wrong(place, what)
    return decoded(place, url[found.end() :])


def decoded(place: str, data: str) -> Image:
    """The picture that is written in base64. Raises `Refusal`."""
    try:
        return Image(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError) as error:
        raise wrong(place, f"not base64: {error}") from None


def request(
    *,
    messages: Sequence[Message],
    tools: Sequence[ToolDeclaration],
    choice: str,
    parallel: bool,
    held: Constraint | None,
    held_by: str,
    seed: int | None,
    tokens: int,
) -> Request:
    """The engine's request. Raises `Refusal` where it would ask for both tools and a schema."""
    if tools and held is not None:
        raise wrong(held_by, "an answer has either tools or a schema, not both: leave one out")
    if not tools and choice not in ("auto", "none"):
        raise wrong("tool_choice", "there are no tools")
    return Request(
        _with_one_system_turn(messages),
        tools,
        tool_choice=choice,
        constraint=held,
        seed=seed,
        max_tokens=tokens,
        most_calls=None if parallel else 1,
    )


def _with_one_system_turn(messages: Sequence[Message]) -> list[Message]:
    """Templates know one system turn, at the beginning: what systems say is told there."""
    said = [message.content for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    return [*([Message("system", "\n\n".join(said))] if said else []), *others]
