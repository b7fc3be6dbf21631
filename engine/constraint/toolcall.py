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
from .dfa import Dfa
from .document import Document
from .machine import Machine, TooLarge, uncollected
from .regular import ANY, Both, Characters, Repeat, determinise
from .shapes import Algebra
from .validator import Validator
from .writer import LADDER, PLAIN_TEXT, QUOTE, Limits, Writer

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OPEN, _CLOSE = "<|tool_call>", "<tool_call|>"
CONTROLS = tuple(sorted([_OPEN, _CLOSE, QUOTE]))
FREE_TEXT = Both(PLAIN_TEXT, Repeat(Characters(ANY), 1, None))
_SCALAR = re.compile(r"true|false|null|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_KEY = re.compile(r"([^:{}\[\],]+):")


class Tools:
    """Declared tools as a language of turns.

    `"required"` is one call or more, a tool's name exactly one call of it, `"none"` free text,
    and `"auto"` free text or calls.

    Raises:
        ConstraintError: there is no such tool, a name cannot be written, or a tool's parameters
            cannot be compiled; the pointer begins with the tool's index.
    """

    def __init__(self, declarations: Sequence[ToolDeclaration], choice: str) -> None:
        names = [declaration.name for declaration in declarations]
        if choice not in ("auto", "required", "none") and choice not in names:
            known = ", ".join(names) or "none"
            raise ConstraintError(
                f"tool_choice {choice!r} is not a declared tool (there are: {known})"
            )
        self._choice = choice
        self._tools = [
            _Tool(declaration, f"/{index}")
            for index, declaration in enumerate(declarations)
            if choice in ("auto", "required", declaration.name)
        ]
        self.notes: tuple[str, ...] = ()
        self.checked: tuple[str, ...] = ()
        self.dfa = self._compiled()

    def allows(self, calls: Sequence[ToolCall]) -> bool:
        """Whether a turn may be these calls, whatever their arguments."""
        known = {tool.name for tool in self._tools}
        one = self._choice not in ("auto", "required")
        return (
            bool(calls)
            and all(call.name in known for call in calls)
            and (not one or len(calls) == 1)
        )

    def complaint(self, calls: Sequence[ToolCall]) -> str | None:
        """What is wrong with the arguments of some calls; `None` when they are valid."""
        validators = {tool.name: tool.validator for tool in self._tools}
        for call in calls:
            wrong = validators[call.name].complaint(call.arguments)
            if wrong is not None:
                return f"{call.name}: {wrong}"
        return None

    def _compiled(self) -> Dfa:
        if not self._tools:
            return determinise(FREE_TEXT)
        for limits in LADDER:
            try:
                with uncollected():
                    return self._within(limits)
            except TooLarge:
                continue
        raise ConstraintError("the tools lead to an automaton that is too large: offer fewer")

    def _within(self, limits: Limits) -> Dfa:
        machine = Machine(CONTROLS, limits.states)
        end = machine.end()
        after = machine.state()
        machine.free(after, end)
        calls = [tool.write(machine, after, limits) for tool in self._tools]
        for tool, call in zip(self._tools, calls, strict=True):
            if not machine.is_finished(call):
                raise tool.refused("no arguments that can be written satisfy it")
        start = machine.either(*calls)
        if self._choice in ("auto", "required"):
            machine.free(after, start)
        if self._choice == "auto":
            start = machine.either(start, machine.insert(determinise(FREE_TEXT), end))
        self.notes = tuple(dict.fromkeys(note for tool in self._tools for note in tool.notes))
        self.checked = tuple(
            dict.fromkeys(place for tool in self._tools for place in tool.algebra.checked)
        )
        return machine.determinise(start)


class _Tool:
    """One declaration, its parameters read."""

    def __init__(self, declaration: ToolDeclaration, pointer: str) -> None:
        self.name, self._pointer = declaration.name, pointer
        self.notes: tuple[str, ...] = ()
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
        schema = {"type": "object", "additionalProperties": False, **parameters}
        try:
            document = Document(schema)
            self.algebra = Algebra(document)
            self.algebra.shape(self.algebra.root)
        except ConstraintError as error:
            raise self._named(error) from None
        self.validator = Validator(document)

    def write(self, machine: Machine, after: int, limits: Limits) -> int:
        """The state in front of a call."""
        writer = Writer(self.algebra, machine, "native", limits)
        try:
            arguments = writer.value(self.algebra.root, machine.control(_CLOSE, after))
        except ConstraintError as error:
            raise self._named(error) from None
        self.notes = tuple(f"{self.name}: {note}" for note in writer.notes)
        name = machine.literal(f"call:{self.name}".encode(), arguments)
        return machine.control(_OPEN, name)

    def refused(self, reason: str) -> ConstraintError:
        """A complaint about the parameters as a whole."""
        place = f"{self._pointer}/parameters"
        return ConstraintError(f"tool {self.name}: {place}: {reason}", pointer=place)

    def _named(self, error: ConstraintError) -> ConstraintError:
        return ConstraintError(
            f"tool {self.name}: {error}",
            pointer=f"{self._pointer}/parameters{error.pointer}",
            keyword=error.keyword,
        )


def render_calls(calls: Sequence[ToolCall]) -> str:
    """The turn's text for some calls."""
    return "".join(f"{_OPEN}call:{call.name}{_rendered(call.arguments)}{_CLOSE}" for call in calls)


def _rendered(value: Any) -> str:
    if isinstance(value, str):
        return f"{QUOTE}{value}{QUOTE}"
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
    calls: list[ToolCall] = []
    at = 0
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
    if text.startswith(QUOTE, at):
        start = at + len(QUOTE)
        end = text.find(QUOTE, start)
        if end < 0:
            raise ValueError(f"a string is not closed at position {at}")
        return text[start:end], end + len(QUOTE)
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
