"""Declared tools as a language of turns, in the form in which a checkpoint writes its calls."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ConstraintError
from ..request import ToolCall, ToolDeclaration
from .callform import SPELLS_CONTROL, CallForm
from .dfa import Dfa
from .document import Document
from .machine import Machine, TooLarge, uncollected
from .regular import ANY, Both, Characters, Repeat, determinise
from .shapes import Algebra
from .validator import Validator
from .writer import LADDER, PLAIN_TEXT, Limits, Writer

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
FREE_TEXT = Both(PLAIN_TEXT, Repeat(Characters(ANY), 1, None))


class Tools:
    """Declared tools as a language of turns.

    `"required"` is one call or more, up to `most`, a tool's name exactly one call of it, `"none"`
    free text, and `"auto"` free text, calls, or calls behind free text. Neither strings nor free
    text may spell a control token.

    Raises:
        ConstraintError: there is no such tool, a name cannot be written, or a tool's parameters
            cannot be compiled; the pointer begins with the tool's index.
    """

    def __init__(
        self,
        declarations: Sequence[ToolDeclaration],
        choice: str,
        most: int | None,
        form: CallForm,
    ) -> None:
        names = [declaration.name for declaration in declarations]
        if choice not in ("auto", "required", "none") and choice not in names:
            known = ", ".join(names) or "none"
            raise ConstraintError(
                f"tool_choice {choice!r} is not a declared tool (there are: {known})"
            )
        if most is not None and most < 1:
            raise ConstraintError(f"a turn of tool calls has at least one, not {most}")
        self.form = form
        self._choice = choice
        self._most = most if choice in ("auto", "required") else 1
        self._tools = [
            _Tool(declaration, f"/{index}")
            for index, declaration in enumerate(declarations)
            if choice in ("auto", "required", declaration.name)
        ]
        self.notes: tuple[str, ...] = ()
        self.checked: tuple[str, ...] = ()
        self.dfa = self._compiled()

    def complaint(self, calls: Sequence[ToolCall]) -> str | None:
        """Why a turn may not make these calls; `None` when it may."""
        if self._most is not None and len(calls) > self._most:
            return f"{len(calls)} calls, and at most {self._most} may be made"
        validators = {tool.name: tool.validator for tool in self._tools}
        for call in calls:
            if call.name not in validators:
                return f"{call.name} may not be called"
            wrong = validators[call.name].complaint(call.arguments)
            if wrong is not None:
                return f"{call.name}: {wrong}"
        return None

    def may_precede(self, text: str) -> bool:
        """Whether a turn may say this before its first call."""
        return self._choice == "auto" and not SPELLS_CONTROL.search(text)

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
        machine = Machine(self.form.controls, limits.states)
        end = machine.end()
        if self._most is None:
            after = machine.state()
            machine.free(after, end)
            start = self._calls(machine, after, limits)
            machine.free(after, start)
        else:
            start = self._calls(machine, end, limits)
            for _ in range(1, self._most):
                start = self._calls(machine, machine.either(end, start), limits)
        if self._choice == "auto":
            text = machine.insert(determinise(FREE_TEXT), machine.either(end, start))
            start = machine.either(start, text)
        self.notes = tuple(dict.fromkeys(note for tool in self._tools for note in tool.notes))
        self.checked = tuple(
            dict.fromkeys(place for tool in self._tools for place in tool.algebra.checked)
        )
        return machine.determinise(start)

    def _calls(self, machine: Machine, after: int, limits: Limits) -> int:
        """The state in front of one call of any tool."""
        calls = [tool.write(machine, after, limits, self.form) for tool in self._tools]
        for tool, call in zip(self._tools, calls, strict=True):
            if not machine.is_finished(call):
                raise tool.refused("no arguments that can be written satisfy it")
        return machine.either(*calls)


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

    def write(self, machine: Machine, after: int, limits: Limits, form: CallForm) -> int:
        """The state in front of a call."""
        writer = Writer(self.algebra, machine, form, limits)
        try:
            arguments = writer.value(self.algebra.root, machine.control(form.closing, after))
        except ConstraintError as error:
            raise self._named(error) from None
        self.notes = tuple(f"{self.name}: {note}" for note in writer.notes)
        name = machine.literal(f"call:{self.name}".encode(), arguments)
        return machine.control(form.opening, name)

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
