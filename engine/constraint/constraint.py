"""Constraints as users make them: a language, independent of any model.

A constraint knows which texts it accepts, how it writes a value, and what value a text stands for.
Against a checkpoint's vocabulary it becomes a token automaton (`automaton.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Literal as Fixed

from ..errors import ConstraintError
from ..request import ToolCall, ToolDeclaration
from .dfa import BYTES, Dfa
from .document import Document
from .pattern import parse_pattern
from .regular import Expression, Literal, determinise, either
from .schema import compile_schema
from .toolcall import Tools, parse_calls, render_calls
from .validator import Validator, read_json
from .writer import SPELLS_CONTROL

Kind = Fixed["json_schema", "tools", "regex", "choice"]
_WRITTEN_LIKE_A_CONTROL = re.compile(r'<\|[^<>|]+>|<[^<>|]+\|>|<\|"\|>')


@dataclass(frozen=True, eq=False)
class Constraint:
    """A set of texts that an answer must be in.

    `dfa` is what the canvas is held to. For a JSON Schema it writes a part of what the schema
    allows: `notes` say where it is narrower, and `checked` names the keywords that no automaton
    can hold, so that a finished value is checked against them.
    """

    kind: Kind
    dfa: Dfa
    notes: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    _schema: Any = field(default=None, repr=False)
    _validator: Validator | Tools | None = field(default=None, repr=False)

    def accepts(self, text: str) -> bool:
        """Whether the whole text satisfies the constraint; control tokens stand in it as they are
        written. For a JSON Schema this is JSON text of a valid value, members in any order."""
        if self.kind == "json_schema":
            try:
                value = read_json(text)
            except ValueError:
                return False
            return self.complaint(value) is None
        if isinstance(self._validator, Tools) and (calls := _read_calls(text)):
            return self._validator.allows(calls) and self.complaint(calls) is None
        return self.writes(text)

    def writes(self, text: str) -> bool:
        """Whether the canvas can be made to read as this text."""
        state = self.dfa.run(self._symbols(text))
        return state >= 0 and bool(self.dfa.final[state])

    def complaint(self, value: Any) -> str | None:
        """Why a parsed value does not satisfy the schema, with its JSON pointer; `None` when it
        does."""
        return None if self._validator is None else self._validator.complaint(value)

    def render(self, value: Any) -> str:
        """The canonical text of a value: properties in the schema's order, no white space.

        Raises:
            ConstraintError: the value is not one that the constraint allows.
        """
        if isinstance(self._validator, Validator):
            ordered = self._validator.ordered(value)
            text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
        elif self.kind == "tools":
            text = value if isinstance(value, str) else render_calls(_as_calls(value))
        else:
            text = str(value)
        if not self.accepts(text):
            raise ConstraintError(f"not a value of this constraint: {text}")
        return text

    def parse(self, text: str) -> Any:
        """The value of an accepted text: parsed JSON, a tuple of `ToolCall`s (none when the text
        is free text), or the text itself."""
        if self.kind == "json_schema":
            return json.loads(text)
        return parse_calls(text) if self.kind == "tools" else text

    def describe(self) -> str | None:
        """What a prompt should tell the model of this constraint: a JSON Schema as compact text."""
        if self.kind != "json_schema":
            return None
        return json.dumps(self._schema, ensure_ascii=False, separators=(",", ":"))

    def _symbols(self, text: str) -> list[int]:
        """Bytes, and the symbols of the control tokens that this language names."""
        symbols: list[int] = []
        at = 0
        for match in _WRITTEN_LIKE_A_CONTROL.finditer(text):
            if match[0] in self.dfa.controls:
                symbols += text[at : match.start()].encode("utf-8", "surrogatepass")
                symbols.append(BYTES + self.dfa.controls.index(match[0]))
                at = match.end()
        return symbols + list(text[at:].encode("utf-8", "surrogatepass"))


def json_schema(schema: Mapping[str, Any] | bool) -> Constraint:
    """JSON texts that are valid against a schema (draft 2020-12, or an older one's spelling).

    Raises:
        ConstraintError: the schema is malformed, refers to another document, or no text that can
            be written satisfies it.
    """
    document = Document(schema)
    dfa, notes, checked = compile_schema(document)
    return Constraint("json_schema", dfa, notes, checked, schema, Validator(document))


def tools(declarations: Sequence[ToolDeclaration], *, choice: str = "required") -> Constraint:
    """Turns of tool calls: `choice` is `"auto"`, `"required"`, `"none"` or the name of a tool.

    Raises:
        ConstraintError: there is no such tool, or its parameters cannot be compiled.
    """
    turns = Tools(declarations, choice)
    return Constraint("tools", turns.dfa, turns.notes, turns.checked, None, turns)


def regex(pattern: str) -> Constraint:
    """Texts that match a regular expression (ECMA) from end to end.

    Raises:
        ConstraintError: the pattern is not valid or not regular.
    """
    return _compiled("regex", parse_pattern(pattern, search=False))


def choice(options: Sequence[str]) -> Constraint:
    """One of several texts.

    Raises:
        ConstraintError: there is no option, or one is empty.
    """
    if not options or not all(options):
        raise ConstraintError("a choice needs at least one option, and none may be empty")
    return _compiled("choice", either(*(Literal(option) for option in options)))


def _compiled(kind: Kind, expression: Expression) -> Constraint:
    dfa = determinise(expression)
    if dfa.is_empty:
        raise ConstraintError("no text at all can satisfy this constraint")
    return Constraint(kind, dfa)


def _read_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls of a turn that is written exactly as the form says; none for any other text."""
    try:
        calls = parse_calls(text)
    except ValueError:
        return ()
    values = json.dumps([call.arguments for call in calls], ensure_ascii=False)
    return calls if render_calls(calls) == text and not SPELLS_CONTROL.search(values) else ()


def _as_calls(value: Any) -> Sequence[ToolCall]:
    return [value] if isinstance(value, ToolCall) else value
