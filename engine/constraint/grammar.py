"""Grammars in Lark's notation, as far as they are regular and, beyond that, to a depth.

A rule that refers to itself at one end only is a loop of an automaton (Nederhof, *Practical
experiments with regular approximation of context-free languages*, 2000). Where it is embedded, as
an expression between parentheses, each level is written out, as many as fit. A grammar is read
without a lexer: its terminals stand wherever its rules have them, and what it ignores between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from ..errors import ConstraintError
from .dfa import Dfa
from .pattern import parse_pattern
from .regular import (
    EMPTY,
    NOTHING,
    Characters,
    Concatenation,
    Either,
    Expression,
    Graph,
    Known,
    Literal,
    Repeat,
    character_set,
    determinise,
)

if TYPE_CHECKING:
    from lark import Lark

_MISSING = "a grammar needs two packages more: pip install 'gesso[grammars]'"
_DEEPEST = 12
_MANY_EMPTY = 3
_MOST_STATES = 3_000
"""One level more is written out as long as the last took fewer states than these."""


def compile_grammar(grammar: str) -> tuple[Dfa, tuple[str, ...]]:
    """The automaton of a grammar's texts from its rule `start`, and notes on where it is narrower.

    Raises:
        ConstraintError: the grammar is malformed, a terminal is not regular, or no text that can
            be written satisfies it.
    """
    try:
        return _compiled(_Rules(_read(grammar)))
    except RecursionError:
        raise ConstraintError("the rules of this grammar lead to each other too far down") from None


def _compiled(rules: _Rules) -> tuple[Dfa, tuple[str, ...]]:
    best: Dfa | None = None
    notes: tuple[str, ...] = ()
    writer = _Writer(rules)
    for depth in range(_DEEPEST + 1):
        try:
            dfa = determinise(writer.text(depth))
        except ConstraintError:
            if best is None:
                raise
            break
        if not dfa.is_empty:
            best = dfa
            notes = (f"rules nest in themselves at most {depth} levels",) if writer.cut else ()
        if not writer.cut or len(dfa.final) > _MOST_STATES:
            break
    if best is None:
        raise ConstraintError("no text that can be written satisfies this grammar")
    return best, notes


def verdict_of(grammar: str) -> Callable[[str], str | None]:
    """What `llguidance` has against a text under a grammar, at any depth; `None` for nothing.

    Raises:
        ConstraintError: it does not take the grammar.
    """
    try:
        from llguidance import LLMatcher, LLTokenizer
    except ImportError:
        raise ConstraintError(_MISSING) from None
    matcher = LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_lark(grammar), log_level=0)
    if matcher.is_error():
        reason = _first_line(matcher.get_error())
        raise ConstraintError(f"llguidance refuses this grammar: {reason}")

    def complaint(text: str) -> str | None:
        symbols = list(text.encode("utf-8", "surrogatepass"))
        fresh = matcher.deep_copy()
        if fresh.try_consume_tokens(symbols) == len(symbols) and fresh.is_accepting():
            return None
        if fresh.is_error():  # it has bounds of its own, of which a grammar tells only in use
            reason = _first_line(fresh.get_error())
            return f"llguidance cannot judge a text of this grammar: {reason}"
        return "not a text of this grammar"

    return complaint


def _read(grammar: str) -> Lark:
    try:
        from lark import Lark
        from lark.exceptions import LarkError
    except ImportError:
        raise ConstraintError(_MISSING) from None
    try:
        return Lark(grammar, parser="earley", lexer="dynamic")
    except (LarkError, re.error, OSError) as error:  # of Lark, of `re`, and of what is imported
        reason = _first_line(str(error))
        raise ConstraintError(f"not a grammar in Lark's notation: {reason}") from None


def _first_line(complaint: str) -> str:
    return complaint.strip().splitlines()[0]


@dataclass(frozen=True)
class _Part:
    """One symbol of a rule; `deeper` where it stands for a rule that contains it, a level down."""

    name: str
    is_terminal: bool
    deeper: bool = False


Expansions = Mapping[str, Sequence[tuple[_Part, ...]]]


class _Rules:
    """A grammar's terminals as expressions, and its rules. Those of one component refer to each
    other at one end only, the left one in a component that is `leftwards`."""

    def __init__(self, lark: Lark) -> None:
        ignored = [_terminal(lark, name) for name in lark.ignore_tokens]
        blank = Repeat(Either(tuple(ignored)), 0, None) if ignored else EMPTY
        self.terminals = {one.name: _terminal(lark, one.name) for one in lark.terminals}
        self.behind_blank = {
            name: Concatenation((blank, terminal)) for name, terminal in self.terminals.items()
        }
        read: dict[str, list[tuple[_Part, ...]]] = {}
        for rule in lark.rules:
            parts = tuple(_Part(str(part.name), part.is_term) for part in rule.expansion)
            read.setdefault(str(rule.origin.name), []).append(parts)
            for part in parts:
                if part.is_terminal and part.name not in self.terminals:
                    raise ConstraintError(f"terminal {part.name}: it is declared without a pattern")
        # what is ignored stands before no first terminal, so it must be known which one is first
        rules, empty = _without_empty(read) if ignored else (read, set[str]())
        self.adds_empty = "start" in empty
        """Whether the empty text is of the language, though no rule here has it."""
        component = _components(rules)
        embedded = _deepened(rules, component, lambda place, last, _: 0 < place < last)
        component = _components(embedded)
        left, right = _loops(embedded, component)
        self.expansions = _deepened(
            embedded, component, lambda place, last, one: place < last and one in left & right
        )
        self.component = _components(self.expansions)
        self.leftwards, _ = _loops(self.expansions, self.component)


def _without_empty(rules: Expansions) -> tuple[Expansions, set[str]]:
    """Rules for the same texts but the empty one, and the names of those that had it. So what
    stands first in a rule is first in its texts."""
    rules = _halved(rules, _empty(rules))
    empty = _empty(rules)
    shorter = {
        name: list(
            dict.fromkeys(
                tuple(part for part in kept if part is not None)
                for parts in found
                for kept in product(
                    *((one, None) if one.name in empty else (one,) for one in parts)
                )
                if any(kept)
            )
        )
        for name, found in rules.items()
    }
    return shorter, empty


def _empty(rules: Expansions) -> set[str]:
    """The names of the rules that have the empty text."""
    empty: set[str] = set()
    while new := {
        name
        for name, found in rules.items()
        if name not in empty and any(all(one.name in empty for one in parts) for parts in found)
    }:
        empty |= new
    return empty


def _halved(rules: Expansions, empty: set[str]) -> Expansions:
    """The same rules, their beginnings and rests apart where many parts may be empty: for each of
    them there are twice as many ways to leave some out."""
    halved: dict[str, list[tuple[_Part, ...]]] = {name: [] for name in rules}
    for name, found in rules.items():
        for number, parts in enumerate(found):
            owner, left = name, parts
            while sum(part.name in empty for part in left) > _MANY_EMPTY:
                rest = f"{name} {number} {len(left)}"  # no name of Lark's has a space
                halved[owner].append((left[0], _Part(rest, is_terminal=False)))
                halved[rest] = []
                owner, left = rest, left[1:]
            halved[owner].append(left)
    return halved


def _deepened(
    rules: Expansions,
    component: Mapping[str, int],
    deeper: Callable[[int, int, int], bool],
) -> Expansions:
    """Rules in which the parts of a rule's own component stand a level deeper where `deeper` says
    so, by their place, the last place, and the component."""
    return {
        name: [
            tuple(
                replace(part, deeper=True)
                if component.get(part.name) == component[name]
                and deeper(place, len(parts) - 1, component[name])
                else part
                for place, part in enumerate(parts)
            )
            for parts in found
        ]
        for name, found in rules.items()
    }


def _loops(rules: Expansions, component: Mapping[str, int]) -> tuple[set[int], set[int]]:
    """The components that refer to themselves at the left end of rules, and at the right."""
    left: set[int] = set()
    right: set[int] = set()
    for name, found in rules.items():
        for parts in found:
            for place, part in enumerate(parts):
                same = not part.deeper and component.get(part.name) == component[name]
                if same and len(parts) > 1:
                    (right if place == len(parts) - 1 else left).add(component[name])
    return left, right


def _components(rules: Expansions) -> dict[str, int]:
    """A number for each rule, the same for those that lead to each other on their level."""
    reached: dict[str, set[str]] = {}
    for name in rules:
        found, waiting = set(), [name]
        while waiting:
            for parts in rules[waiting.pop()]:
                for part in parts:
                    if not part.is_terminal and not part.deeper and part.name not in found:
                        found.add(part.name)
                        waiting.append(part.name)
        reached[name] = found
    numbers: dict[str, int] = {}
    for name, found in reached.items():
        mutual = [other for other in found if name in reached[other] and other in numbers]
        numbers[name] = numbers[mutual[0]] if mutual else len(numbers)
    return numbers


class _Writer:
    """A grammar's rules as expressions, written out to a depth. What is ignored stands before every
    terminal, but not where a rule is `first` in the text."""

    def __init__(self, rules: _Rules) -> None:
        self._rules = rules
        self._written: dict[tuple[str, int, bool], Expression] = {}
        self._smallest: dict[tuple[str, int, bool], Known] = {}
        self.cut = False
        """Whether something nests deeper than it was written."""

    def text(self, depth: int) -> Expression:
        """The texts of the grammar, with rules `depth` levels down."""
        text = self.rule("start", depth, first=True)
        return Either((text, EMPTY)) if self._rules.adds_empty else text

    def rule(self, name: str, depth: int, *, first: bool) -> Expression:
        """The texts of a rule that may go `depth` levels down."""
        key = (name, depth, first)
        if key not in self._written:
            component = self._rules.component
            members = [one for one in component if component[one] == component[name]]
            leftwards = component[name] in self._rules.leftwards
            write = self._ending if leftwards else self._beginning
            self._written[key] = write(name, members, depth, first)
        return self._written[key]

    def _beginning(self, name: str, members: list[str], depth: int, first: bool) -> Expression:
        """The paths that begin at a rule, in a component whose rules end with each other."""
        nodes = {one: number for number, one in enumerate(members, start=2)}
        edges: list[tuple[int, Expression, int]] = []

        def add(source: int, parts: tuple[_Part, ...], first: bool) -> None:
            loops = bool(parts) and not parts[-1].deeper and parts[-1].name in nodes
            rest = parts[:-1] if loops else parts
            target = nodes[parts[-1].name] if loops else 1
            edges.append((source, self._parts(rest, depth, first), target))

        for one in members:
            for parts in self._rules.expansions[one]:
                add(nodes[one], parts, first=False)
        begun, waiting = {name}, [name]
        while waiting:
            for parts in self._rules.expansions[waiting.pop()]:
                if len(parts) == 1 and not parts[0].deeper and parts[0].name in nodes:
                    if parts[0].name not in begun:
                        begun.add(parts[0].name)
                        waiting.append(parts[0].name)
                else:
                    add(0, parts, first)
        return Graph(tuple(edges), (1,))

    def _ending(self, name: str, members: list[str], depth: int, first: bool) -> Expression:
        """The paths that end at a rule, in a component whose rules begin with each other."""
        nodes = {one: number for number, one in enumerate(members, start=1)}
        edges: list[tuple[int, Expression, int]] = []
        for one in members:
            for parts in self._rules.expansions[one]:
                loops = bool(parts) and not parts[0].deeper and parts[0].name in nodes
                source = nodes[parts[0].name] if loops else 0
                rest = parts[1:] if loops else parts
                label = self._parts(rest, depth, first and not loops)
                edges.append((source, label, nodes[one]))
        return Graph(tuple(edges), (nodes[name],))

    def _parts(self, parts: tuple[_Part, ...], depth: int, first: bool) -> Expression:
        return Concatenation(
            tuple(self._part(part, depth, first and place == 0) for place, part in enumerate(parts))
        )

    def _part(self, part: _Part, depth: int, first: bool) -> Expression:
        if part.is_terminal:
            terminals = self._rules.terminals if first else self._rules.behind_blank
            return terminals[part.name]
        if part.deeper and not depth:
            self.cut = True
            return NOTHING
        key = (part.name, depth - part.deeper, first)
        if key not in self._smallest:  # in its smallest form, for it stands in many places
            rule = self.rule(part.name, depth - part.deeper, first=first)
            self._smallest[key] = Known(determinise(rule).sparse)
        return self._smallest[key]


def _terminal(lark: Lark, name: str) -> Expression:
    from lark.lexer import PatternStr

    pattern = lark.get_terminal(name).pattern
    if not pattern.flags and isinstance(pattern, PatternStr):
        return Literal(pattern.value)
    if pattern.flags == {"i"} and isinstance(pattern, PatternStr):
        return Concatenation(
            tuple(
                Characters(character_set(*((ord(case), ord(case)) for case in _cases(one))))
                for one in pattern.value
            )
        )
    if pattern.flags:
        raise ConstraintError(f"terminal {name}: a pattern with flags cannot be compiled")
    try:
        return parse_pattern(pattern.value, search=False)
    except ConstraintError as error:
        raise ConstraintError(f"terminal {name}: {error}") from None


def _cases(character: str) -> set[str]:
    """A character and its other cases, as far as they are one character and lead back to it."""
    folded = character.casefold()
    cases = {character.lower(), character.upper()}
    return {character} | {one for one in cases if len(one) == 1 and one.casefold() == folded}
