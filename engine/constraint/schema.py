"""From a schema document to the automaton that a canvas is held to.

Tried from generous to narrow: deeper nesting first, and only what can be said exactly; where that
leaves nothing, what must be checked on the finished value is let through.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConstraintError
from .dfa import Dfa
from .document import Document
from .machine import Machine, TooLarge, uncollected
from .shapes import Algebra
from .writer import LADDER, Limits, Writer


@dataclass(frozen=True)
class Compiled:
    """The automaton of a schema's values as JSON, notes on where it is narrower, and the keywords
    that a finished value must still be checked against."""

    dfa: Dfa
    notes: tuple[str, ...]
    checked: tuple[str, ...]


def compile_schema(document: Document) -> Compiled:
    """What a canvas is held to under a schema.

    Raises:
        ConstraintError: the schema is malformed, or nothing that can be written satisfies it.
    """
    too_large = False
    try:
        for wide in (False, True):
            algebra = Algebra(document, wide=wide)
            for limits in LADDER:
                try:
                    with uncollected():
                        dfa, notes = _written(algebra, limits)
                except TooLarge:
                    too_large = True
                    continue
                if not dfa.is_empty:
                    return Compiled(dfa, notes, tuple(algebra.checked))
                break
            else:
                break  # it would be no smaller with more let through
    except RecursionError:
        raise ConstraintError("the schema nests too deeply") from None
    if too_large:
        raise ConstraintError("the schema leads to an automaton that is too large")
    raise ConstraintError("no text at all can satisfy this constraint")


def _written(algebra: Algebra, limits: Limits) -> tuple[Dfa, tuple[str, ...]]:
    machine = Machine((), limits.states)
    writer = Writer(algebra, machine, None, limits)
    start = writer.value(algebra.root, machine.end())
    return machine.determinise(start), tuple(writer.notes)
