"""Constraints as users make them: a language, independent of any model.

A constraint knows which texts it accepts, how it writes a value, and what value a text stands for.
Against a checkpoint's vocabulary it becomes a token automaton (`automaton.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import ConstraintError
from ..request import ToolCall, ToolDeclaration
from .callform import GEMMA_CALLS, MARKER, SPELLS_CONTROL, CallForm, ThoughtForm
from .dfa import BYTES, MOST_STATES, Dfa
from .document import Document
from .grammar import compile_grammar, verdict_of
from .machine import Machine, TooLarge
from .pattern import parse_pattern
from .regular import Concatenation, Control, Either, Expression, Literal, determinise
from .schema import compile_schema
from .store import stored
from .toolcall import FREE_TEXT, Tools
from .validator import Validator, read_json
from .writer import PLAIN_TEXT


@dataclass(frozen=True, eq=False)
class Constraint:
    """A set of texts that an answer must be in.

    `dfa` is what the canvas is held to. For a JSON Schema it writes a part of what the schema
    allows: `notes` say where it is narrower, and `checked` names the keywords that no automaton
    can hold, so that a finished text is checked against them.

    In texts, control tokens stand as they are written.
    """

    dfa: Dfa
    notes: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()

    def accepts(self, text: str) -> bool:
        """Whether the whole text satisfies the constraint. For a JSON Schema this is JSON text of
        a valid value, members in any order."""
        return self.complaint(text) is None

    def writes(self, text: str) -> bool:
        """Whether the canvas can be made to read as this text."""
        return len(text) in self.ends(text, 0)

    def complaint(self, text: str) -> str | None:
        """Why the text does not satisfy the constraint, with the JSON pointer of the place where
        there is one; `None` when it does."""
        return None if self.writes(text) else "not a text of this language"

    def render(self, value: Any) -> str:
        """The canonical text of a value: properties in the schema's order, no white space.

        Raises:
            ConstraintError: the value is not one that the constraint allows.
        """
        text = self._rendered(value)
        complaint = self.complaint(text)
        if complaint is not None:
            raise ConstraintError(f"not a value of this constraint: {text} ({complaint})")
        return text

    def parse(self, text: str) -> Any:
        """The value of an accepted text: parsed JSON, a tuple of `ToolCall`s (none when there are
        no calls), a tuple of a sequence's parts, or the text itself."""
        return text

    def describe(self) -> str | None:
        """What a prompt should tell the model of this constraint: a JSON Schema as compact text."""
        return None

    def ends(self, text: str, start: int) -> list[int]:
        """Where texts of this language end that the canvas can write and that begin at `start`,
        longest first."""
        found, state, table = [], self.dfa.start, self.dfa.table
        if self.dfa.final[state]:
            found.append(start)
        for symbol, end in self._symbols(text, start):
            state = int(table[state, symbol])
            if state < 0:
                break
            if end >= 0 and self.dfa.final[state]:
                found.append(end)
        return found[::-1]

    def _rendered(self, value: Any) -> str:
        return str(value)

    def _symbols(self, text: str, start: int) -> Iterator[tuple[int, int]]:
        """Bytes, and the symbols of the control tokens that this language names, each with the
        place in the text behind it (-1 inside a character)."""
        controls = self.dfa.controls
        for match in _one_of(controls).finditer(text, start) if controls else ():
            yield from _spelled(text, start, match.start())
            start = match.end()
            yield BYTES + controls.index(match[0]), start
        yield from _spelled(text, start, len(text))


@lru_cache
def _one_of(controls: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(controls, key=len, reverse=True))))


def _spelled(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for place in range(start, end):
        *inner, last = text[place].encode("utf-8", "surrogatepass")
        for byte in inner:
            yield byte, -1
        yield last, place + 1


@dataclass(frozen=True, eq=False, kw_only=True)
class SchemaConstraint(Constraint):
    """JSON texts that are valid against a schema."""

    schema: Any
    validator: Validator

    def complaint(self, text: str) -> str | None:
        try:
            value = read_json(text)
        except ValueError as error:
            return f"not JSON: {error}"
        return self.validator.complaint(value)

    def parse(self, text: str) -> Any:
        return json.loads(text)

    def describe(self) -> str | None:
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))

    def _rendered(self, value: Any) -> str:
        try:
            ordered = self.validator.ordered(value)
            return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
        except TypeError as error:
            raise ConstraintError(f"not a value of this constraint: {error}") from None


@dataclass(frozen=True, eq=False, kw_only=True)
class ToolConstraint(Constraint):
    """Turns of tool calls, of free text, or of calls behind free text."""

    turns: Tools

    def complaint(self, text: str) -> str | None:
        form = self.turns.form
        before, written = form.split(text)
        if self.writes(text):
            return self.turns.complaint(form.parse(written))
        try:
            calls = form.parse(written)
        except ValueError as error:
            return str(error)
        values = json.dumps([call.arguments for call in calls], ensure_ascii=False)
        exact = form.render(calls) == written and not SPELLS_CONTROL.search(values)
        if not calls or not exact or (before and not self.turns.may_precede(before)):
            return "not a turn of this form"
        return self.turns.complaint(calls)

    def parse(self, text: str) -> tuple[ToolCall, ...]:
        return self.turns.form.parse(text)

    def _rendered(self, value: str | ToolCall | Sequence[ToolCall]) -> str:
        if isinstance(value, str):
            return value
        calls = [value] if isinstance(value, ToolCall) else value
        if not isinstance(calls, Sequence) or not all(isinstance(one, ToolCall) for one in calls):
            raise ConstraintError(f"neither a text nor tool calls: {value!r}")
        try:
            return self.turns.form.render(calls)
        except TypeError as error:
            raise ConstraintError(f"not a value of this constraint: {error}") from None


@dataclass(frozen=True, eq=False, kw_only=True)
class GrammarConstraint(Constraint):
    """Texts of a grammar; `verdict` is what there is to say against a finished one."""

    verdict: Callable[[str], str | None]

    def complaint(self, text: str) -> str | None:
        return self.verdict(text)


@dataclass(frozen=True, eq=False, kw_only=True)
class SequenceConstraint(Constraint):
    """A text of each part, one behind the other, each as the canvas can write it. Where a text can
    be cut in several ways, earlier parts take as much as they can."""

    parts: tuple[Constraint, ...]

    def complaint(self, text: str) -> str | None:
        texts = self._cut(text)
        if texts is None:
            return "not a text of each part, one behind the other"
        complaints = (part.complaint(one) for part, one in zip(self.parts, texts, strict=True))
        return next((complaint for complaint in complaints if complaint is not None), None)

    def ends(self, text: str, start: int) -> list[int]:
        """Each part is read by itself: what spells another one's control token is text in it."""
        found = {start}
        for part in self.parts:
            found = {end for one in found for end in part.ends(text, one)}
        return sorted(found, reverse=True)

    def parse(self, text: str) -> tuple[Any, ...]:
        texts = self._cut(text)
        if texts is None:
            raise ValueError("not a text of each part, one behind the other")
        return tuple(part.parse(one) for part, one in zip(self.parts, texts, strict=True))

    def describe(self) -> str | None:
        return _described(self.parts)

    def _rendered(self, value: Sequence[Any]) -> str:
        if not isinstance(value, Sequence):
            raise ConstraintError(f"a sequence has as many values as parts, and is not {value!r}")
        if len(value) != len(self.parts):
            raise ConstraintError(f"a sequence of {len(self.parts)} has not {len(value)} values")
        return "".join(part.render(one) for part, one in zip(self.parts, value, strict=True))

    def _cut(self, text: str) -> list[str] | None:
        """The parts' texts; `None` where the text is not in the language."""
        dead: set[tuple[int, int]] = set()

        def cut(number: int, start: int) -> list[str] | None:
            if number == len(self.parts):
                return [] if start == len(text) else None
            if (number, start) not in dead:
                for end in self.parts[number].ends(text, start):
                    if (rest := cut(number + 1, end)) is not None:
                        return [text[start:end], *rest]
                dead.add((number, start))
            return None

        return cut(0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class EitherConstraint(Constraint):
    """A text of any option; the first one that accepts it gives its value."""

    options: tuple[Constraint, ...]

    def complaint(self, text: str) -> str | None:
        complaints = [option.complaint(text) for option in self.options]
        return None if None in complaints else "; ".join(map(str, complaints))

    def ends(self, text: str, start: int) -> list[int]:
        """Each option is read by itself, as in a sequence."""
        found = {end for option in self.options for end in option.ends(text, start)}
        return sorted(found, reverse=True)

    def parse(self, text: str) -> Any:
        fitting = (option for option in self.options if option.accepts(text))
        return next(fitting, self.options[0]).parse(text)

    def describe(self) -> str | None:
        return _described(self.options)

    def render(self, value: Any) -> str:
        complaints = []
        for option in self.options:
            try:
                return option.render(value)
            except ConstraintError as error:
                complaints.append(str(error))
        raise ConstraintError("; ".join(complaints))


def json_schema(schema: Mapping[str, Any] | bool) -> Constraint:
    """JSON texts that are valid against a schema (draft 2020-12, or an older one's spelling).

    Raises:
        ConstraintError: the schema is malformed, refers to another document, or no text that can
            be written satisfies it.
    """
    if not isinstance(schema, Mapping | bool):
        raise ConstraintError(f"a schema is an object, true or false, not {schema!r:.60}")
    return _json_schema(_as_json(schema))


def _as_json(schemas: Any) -> str:
    """JSON text, which tells 1 from true and 1.0, as equal values in a cache's key would not."""
    try:
        return json.dumps(schemas, default=dict, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConstraintError(f"a schema must be JSON: {error}") from None


@lru_cache(maxsize=64)
def _json_schema(text: str) -> SchemaConstraint:
    """The same schema is the same constraint, and is lifted to a vocabulary once."""
    schema = json.loads(text)
    document = Document(schema)
    compiled = stored(text, lambda: compile_schema(document))
    return SchemaConstraint(
        compiled.dfa,
        compiled.notes,
        compiled.checked,
        schema=schema,
        validator=Validator(document),
    )


def tools(
    declarations: Sequence[ToolDeclaration],
    *,
    choice: str = "required",
    most: int | None = None,
    form: CallForm = GEMMA_CALLS,
) -> ToolConstraint:
    """Turns of tool calls, at most `most` in one turn. `choice` is `"auto"` (text, calls, or calls
    behind a text), `"required"`, `"none"` or the name of a tool; `form` is how they are written.

    Raises:
        ConstraintError: there is no such tool, or its parameters cannot be compiled.
    """
    declared = _as_json([[one.name, one.parameters] for one in declarations])
    return _tools(declared, choice, most, form)


@lru_cache(maxsize=64)
def _tools(declared: str, choice: str, most: int | None, form: CallForm) -> ToolConstraint:
    """The tools of a runtime are the same at every turn."""
    declarations = [
        ToolDeclaration(name, "", parameters) for name, parameters in json.loads(declared)
    ]
    turns = Tools(declarations, choice, most, form)
    return ToolConstraint(turns.dfa, turns.notes, turns.checked, turns=turns)


def regex(pattern: str) -> Constraint:
    """Texts that match a regular expression (ECMA) from end to end.

    Raises:
        ConstraintError: the pattern is not valid or not regular.
    """
    return _compiled(parse_pattern(pattern, search=False))


def choice(options: Sequence[str]) -> Constraint:
    """One of several texts.

    Raises:
        ConstraintError: there is no option, or one is empty.
    """
    if not options or not all(options):
        raise ConstraintError("a choice needs at least one option, and none may be empty")
    return _compiled(Either(tuple(Literal(option) for option in options)))


@lru_cache(maxsize=64)
def lark(grammar: str) -> Constraint:
    """Texts of a grammar in Lark's notation, from its rule `start`. What nests is written to a
    depth; a finished text is judged by `llguidance`, whose lexer takes the longest terminal it
    can, where the canvas may be made to write a shorter one.

    Raises:
        ConstraintError: the grammar is malformed, a terminal is not regular, no text that can be
            written satisfies it, or `gesso[grammars]` is not installed.
    """
    dfa, notes = compile_grammar(grammar)
    return GrammarConstraint(dfa, notes, ("grammar",), verdict=verdict_of(grammar))


def free_text() -> Constraint:
    """Any text, at least one character, that does not spell a control token."""
    return _compiled(FREE_TEXT)


def thought(form: ThoughtForm) -> Constraint:
    """A thought, perhaps an empty one, in its channel."""
    return _compiled(Concatenation((*_marked(form.opening), PLAIN_TEXT, *_marked(form.closing))))


def sequence(*parts: Constraint) -> Constraint:
    """A text of each part, one behind the other; its value is the tuple of theirs.

    Raises:
        ConstraintError: there is no part, or together they are too large.
    """

    def join(machine: Machine, end: int) -> int:
        for part in reversed(parts):
            end = machine.insert(part.dfa, end)
        return end

    return SequenceConstraint(*_joined(parts, join), parts=parts)


def either(*options: Constraint) -> Constraint:
    """A text of any option.

    Raises:
        ConstraintError: there is no option, or together they are too large.
    """

    def join(machine: Machine, end: int) -> int:
        return machine.either(*(machine.insert(option.dfa, end) for option in options))

    return EitherConstraint(*_joined(options, join), options=options)


def _joined(
    parts: Sequence[Constraint], join: Callable[[Machine, int], int]
) -> tuple[Dfa, tuple[str, ...], tuple[str, ...]]:
    if not parts:
        raise ConstraintError("nothing to be put together")
    controls = sorted({name for part in parts for name in part.dfa.controls})
    machine = Machine(tuple(controls), MOST_STATES)
    try:
        dfa = machine.determinise(join(machine, machine.end()))
    except TooLarge:
        raise ConstraintError("together they lead to an automaton that is too large") from None
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    checked = dict.fromkeys(place for part in parts for place in part.checked)
    return dfa, tuple(notes), tuple(checked)


def _described(parts: Sequence[Constraint]) -> str | None:
    descriptions = [part.describe() for part in parts]
    return "\n".join(filter(None, descriptions)) or None


def _marked(text: str) -> Iterator[Expression]:
    """A text in which control tokens are written out, as an expression."""
    at = 0
    for match in MARKER.finditer(text):
        yield Literal(text[at : match.start()])
        yield Control(match[0])
        at = match.end()
    yield Literal(text[at:])


def _compiled(expression: Expression) -> Constraint:
    dfa = determinise(expression)
    if dfa.is_empty:
        raise ConstraintError("no text at all can satisfy this constraint")
    return Constraint(dfa)
