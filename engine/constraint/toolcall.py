"""Tool calls in the native form of Gemma's chat template, as a language and as values.

    <|tool_call>call:NAME{key:<|"|>text<|"|>,flag:true,list:[1,2],nested:{a:null}}<tool_call|>

Keys are bare and sorted without regard to case, strings stand between `<|"|>` without escapes,
calls of one turn follow each other. A turn without a call is free text. Neither strings nor free
text may hold `<|`: in the text of a turn it always begins a control token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConstraintError
from ..request import ToolCall, ToolDeclaration
from .regular import ANY, Both, Characters, Control, Expression, Literal, Repeat, either, sequence
from .schema import NATIVE_FORM, PLAIN_TEXT, compile_schema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OPEN, _CLOSE, _QUOTE = "<|tool_call>", "<tool_call|>", '<|"|>'
_FREE_TEXT = Both(PLAIN_TEXT, Repeat(Characters(ANY), 1, None))
_SCALAR = re.compile(r"true|false|null|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_KEY = re.compile(r"([^:{}\[\],]+):")


def calls_language(
    declarations: Sequence[ToolDeclaration], choice: str
) -> tuple[Expression, tuple[str, ...]]:
    """The turns that a tool choice allows, and notes on where arguments are narrower.

    `"required"` is one call or more, a tool's name exactly one call of it, `"none"` free text,
    and `"auto"` free text or calls.

    Raises:
        ConstraintError: there is no such tool, a name cannot be written, or a tool's parameters
            cannot be compiled; the pointer begins with the tool's index.
    """
    if choice == "none":
        return _FREE_TEXT, ()
    names = [declaration.name for declaration in declarations]
    if choice not in ("auto", "required") and choice not in names:
        known = ", ".join(names) or "none"
        raise ConstraintError(f"tool_choice {choice!r} is not a declared tool (there are: {known})")
    calls, notes = [], []
    for index, declaration in enumerate(declarations):
        if choice in ("auto", "required", declaration.name):
            call, narrower = _call_language(declaration, f"/{index}")
            calls.append(call)
            notes += narrower
    if not calls:
        return _FREE_TEXT, ()
    if choice not in ("auto", "required"):
        return calls[0], tuple(notes)
    some = Repeat(either(*calls), 1, None)
    return (either(_FREE_TEXT, some) if choice == "auto" else some), tuple(notes)


def _call_language(
    declaration: ToolDeclaration, pointer: str
) -> tuple[Expression, tuple[str, ...]]:
    if not _NAME.fullmatch(declaration.name):
        raise ConstraintError(
            f"{pointer}/name: {declaration.name!r} cannot be written in a tool call;"
            " use letters, digits, _ . -",
            pointer=f"{pointer}/name",
        )
    parameters = declaration.parameters or {"type": "object", "properties": {}}
    if parameters.get("type", "object") != "object":
        raise ConstraintError(
            f"{pointer}/parameters/type: a tool's parameters are an object",
            pointer=f"{pointer}/parameters/type",
            keyword="type",
        )
    try:
        arguments, notes = compile_schema({"type": "object", **parameters}, NATIVE_FORM)
    except ConstraintError as error:
        place = f"{pointer}/parameters{error.pointer}"
        raise ConstraintError(
            f"tool {declaration.name}: {error}", pointer=place, keyword=error.keyword
        ) from None
    call = sequence(Control(_OPEN), Literal(f"call:{declaration.name}"), arguments, Control(_CLOSE))
    return call, notes


def render_calls(calls: Sequence[ToolCall]) -> str:
    """The turn's text for some calls."""
    return "".join(f"{_OPEN}call:{call.name}{_rendered(call.arguments)}{_CLOSE}" for call in calls)


def _rendered(value: Any) -> str:
    if isinstance(value, str):
        return f"{_QUOTE}{value}{_QUOTE}"
    if isinstance(value, Mapping):
        members = sorted(value.items(), key=lambda member: member[0].lower())
        return "{" + ",".join(f"{key}:{_rendered(item)}" for key, item in members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_rendered(item) for item in value) + "]"
    return json.dumps(value)


def parse_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls of a turn's text; none when it is free text.

    Raises:
        ValueError: the text begins a call that is not well formed.
    """
    calls, at = [], 0
    while text.startswith(_OPEN, at):
        match = re.compile(r"call:([^{]+)").match(text, at + len(_OPEN))
        if not match:
            raise ValueError(f"no tool name at position {at + len(_OPEN)}")
        arguments, at = _parsed(text, match.end())
        if not text.startswith(_CLOSE, at):
            raise ValueError(f"the call is not closed at position {at}")
        at += len(_CLOSE)
        calls.append(ToolCall(match[1], arguments))
    if calls and at != len(text):
        raise ValueError(f"text after the calls at position {at}")
    return tuple(calls)


def _parsed(text: str, at: int) -> tuple[Any, int]:
    """A native value and the position after it."""
    if text.startswith(_QUOTE, at):
        start = at + len(_QUOTE)
        end = text.find(_QUOTE, start)
        if end < 0:
            raise ValueError(f"a string is not closed at position {at}")
        return text[start:end], end + len(_QUOTE)
    opening = text[at : at + 1]
    if opening == "{":
        members: dict[str, Any] = {}
        at += 1
        while not text.startswith("}", at):
            key = _KEY.match(text, at)
            if not key:
                raise ValueError(f"no key at position {at}")
            members[key[1]], at = _parsed(text, key.end())
            at = _after_comma(text, at, "}")
        return members, at + 1
    if opening == "[":
        items: list[Any] = []
        at += 1
        while not text.startswith("]", at):
            item, at = _parsed(text, at)
            items.append(item)
            at = _after_comma(text, at, "]")
        return items, at + 1
    scalar = _SCALAR.match(text, at)
    if not scalar:
        raise ValueError(f"no value at position {at}")
    return json.loads(scalar[0]), scalar.end()


def _after_comma(text: str, at: int, closing: str) -> int:
    if text.startswith(",", at):
        return at + 1
    if not text.startswith(closing, at):
        raise ValueError(f"neither comma nor {closing} at position {at}")
    return at
