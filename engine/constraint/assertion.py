"""Lookaround, anchors and word boundaries, taken out of a pattern exactly.

An assertion speaks of the text before or after a place, whatever the pattern around it is. A
pattern that has some becomes a deterministic automaton over classes of characters, in which a
state is a *formula*: which places of the pattern may be reached, each with what the rest of the
text must (lookahead) or must not (negative lookahead) go on to match. What looks behind is an
automaton of its own that reads the text from its start, beside the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from .dfa import Row, Sparse, explore, minimised, trim
from .regular import (
    ANY,
    NOTHING,
    Both,
    Characters,
    Concatenation,
    Either,
    Expression,
    Graph,
    Not,
    Ranges,
    Repeat,
    character_set,
    either,
    sequence,
)


@dataclass(frozen=True)
class Look:
    """A place where what follows begins with the part (`ahead`), or what precedes ends with it;
    `negated`, where it does not."""

    part: Expression
    ahead: bool
    negated: bool


class LookaheadBehindError(ValueError):
    """A lookbehind holds a lookahead, which would speak of what comes after its own end."""


def look(part: Expression, *, ahead: bool, negated: bool = False) -> Expression:
    """An assertion, to stand in the tree of a pattern until `without_assertions` takes it out."""
    return cast(Expression, Look(part, ahead, negated))


_CHARACTER = Characters(ANY)
_ANYTHING = Repeat(_CHARACTER, 0, None)
BEGIN = look(_CHARACTER, ahead=False, negated=True)
END = look(_CHARACTER, ahead=True, negated=True)


def without_assertions(pattern: Expression, *, search: bool) -> Expression:
    """The texts that match a pattern from end to end; with `search`, those that hold a match.

    Raises:
        ConstraintError: it needs an automaton of too many states.
        LookaheadBehindError: a lookbehind holds a lookahead.
    """
    if isinstance(pattern, Either):
        return either(*(without_assertions(one, search=search) for one in pattern.options))
    parts = list(pattern.parts) if isinstance(pattern, Concatenation) else [pattern]
    begins, ends = parts[:1] == [BEGIN], parts[-1:] == [END]
    while parts and parts[0] == BEGIN:
        parts.pop(0)
    while parts and parts[-1] == END:
        parts.pop()
    if (begins or not search) and parts and isinstance(parts[0], Look) and parts[0].ahead:
        demanded = without_assertions(sequence(BEGIN, parts[0].part), search=True)
        rest = sequence(BEGIN, *parts[1:], *([END] if ends else []))
        return Both(
            without_assertions(rest, search=search),
            Not(demanded) if parts[0].negated else demanded,
        )
    if any(isinstance(one, Look) for part in parts for one in _nodes(part)):
        if len(parts) == 1 and isinstance(parts[0], Either) and not (begins or ends):
            return without_assertions(parts[0], search=search)
        return _Net(pattern).graph(pattern, search=search)
    if search and not begins:
        parts.insert(0, _ANYTHING)
    if search and not ends:
        parts.append(_ANYTHING)
    return sequence(*parts)


def _nodes(pattern: Expression | Look) -> Iterable[Expression | Look]:
    yield pattern
    match pattern:
        case Concatenation(parts) | Either(parts):
            for part in parts:
                yield from _nodes(part)
        case Repeat(part) | Look(part):
            yield from _nodes(part)


Formula = frozenset[frozenset["int | Failing"]]
"""A disjunction of conjunctions: of states from which the rest of the text must be matched, and
of formulas that it must not meet."""


@dataclass(frozen=True)
class Failing:
    """What the rest of the text must not meet."""

    formula: Formula


_NEVER: Formula = frozenset()
_ALWAYS: Formula = frozenset((frozenset(),))
_MATCHED, _AT_END = 0, 1  # the states after a match, where anything may follow, or nothing
_Place = tuple[Formula, tuple[int, ...]]  # a formula, and the state of each tracker


@dataclass(frozen=True)
class _Free:
    """A move without a character: where a tracker must (not) accept what was read, or a state
    must (not) lead through the rest."""

    target: int
    tracker: int | None = None
    ahead: int | None = None
    negated: bool = False


class _Net:
    """A nondeterministic automaton over classes of characters, with assertions on free moves."""

    def __init__(self, pattern: Expression) -> None:
        sets = {node.ranges for node in _nodes(pattern) if isinstance(node, Characters)}
        self._classes, self._members = _partition(sets | {ANY})
        self._moves: list[list[tuple[frozenset[int], int]]] = [[], []]
        self._free: list[list[_Free]] = [[], []]
        self._trackers: list[Sparse] = []
        self._tracker_numbers: dict[Expression, int] = {}
        self._closures: dict[tuple[int, tuple[bool, ...]], Formula] = {}
        self._steps: dict[tuple[int | Failing, int, tuple[bool, ...]], Formula] = {}

    def graph(self, pattern: Expression, *, search: bool) -> Expression:
        """The expression of a whole pattern."""
        start = self._add(pattern, _MATCHED if search else _AT_END)
        automaton = self._automaton(self._after_anything(start) if search else start)
        if not automaton.rows:
            return NOTHING
        labels: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for source, row in enumerate(automaton.rows):
            for low, high, target in row:
                for one in range(low, high + 1):
                    labels.setdefault((source, target), []).extend(self._classes[one])
        sets: dict[Ranges, Expression] = {}
        edges = []
        for (source, target), ranges in labels.items():
            joined = character_set(*ranges)
            edges.append((source, sets.setdefault(joined, Characters(joined)), target))
        final = tuple(state for state, is_final in enumerate(automaton.final) if is_final)
        return Graph(tuple(edges), final)

    def _state(self, *free: _Free) -> int:
        self._moves.append([])
        self._free.append(list(free))
        return len(self._moves) - 1

    def _after_anything(self, start: int) -> int:
        loop = self._state(_Free(start))
        self._moves[loop].append((self._members[ANY], loop))
        return loop

    def _add(self, pattern: Expression | Look, following: int) -> int:
        """The state from which a pattern leads to the following one."""
        match pattern:
            case Characters(ranges):
                state = self._state()
                self._moves[state].append((self._members[ranges], following))
                return state
            case Concatenation(parts):
                for part in reversed(parts):
                    following = self._add(part, following)
                return following
            case Either(options):
                return self._state(*[_Free(self._add(one, following)) for one in options])
            case Repeat(part, least, most):
                return self._repeat(part, least, most, following)
            case Look(part, True, negated):
                ahead = self._add(part, _MATCHED)
                return self._state(_Free(following, ahead=ahead, negated=negated))
            case Look(part, _, negated):
                tracker = self._tracker(part)
                return self._state(_Free(following, tracker=tracker, negated=negated))
        raise TypeError(f"the parser makes no {type(pattern).__name__}")

    def _repeat(self, part: Expression, least: int, most: int | None, following: int) -> int:
        entry = following
        if most is None:
            entry = self._state(_Free(following))
            self._free[entry].append(_Free(self._add(part, entry)))
        else:
            for _ in range(most - least):
                entry = self._state(_Free(self._add(part, entry)), _Free(following))
        for _ in range(least):
            entry = self._add(part, entry)
        return entry

    def _tracker(self, part: Expression) -> int:
        """The number of the automaton of all texts that end with the part."""
        if part not in self._tracker_numbers:
            if any(isinstance(node, Look) and node.ahead for node in _nodes(part)):
                raise LookaheadBehindError
            start = self._after_anything(self._add(part, _AT_END))
            self._tracker_numbers[part] = len(self._trackers)
            self._trackers.append(self._automaton(start))
        return self._tracker_numbers[part]

    def _automaton(self, start: int) -> Sparse:
        """The deterministic automaton from a state, over the numbers of the classes."""
        trackers = list(self._trackers)  # those that are made later are not asked from this state
        self._closures.clear()
        self._steps.clear()
        tables = [_table(tracker, len(self._classes)) for tracker in trackers]

        def place(formula: Formula, tracked: tuple[int, ...]) -> _Place:
            return (formula, ()) if formula == _ALWAYS else (formula, tracked)

        def accepted(tracked: Iterable[int]) -> tuple[bool, ...]:
            return tuple(
                state >= 0 and tracker.final[state]
                for state, tracker in zip(tracked, trackers, strict=True)
            )

        def expand(one: _Place, number: Callable[[_Place], int]) -> tuple[Row, bool]:
            formula, tracked = one
            if formula == _ALWAYS:
                return [(0, len(self._classes) - 1, number(one))], True
            row: Row = []
            for symbol in range(len(self._classes)):
                moved = tuple(
                    table[state][symbol] if state >= 0 else -1
                    for state, table in zip(tracked, tables, strict=True)
                )
                after = self._step(formula, symbol, accepted(moved))
                if after != _NEVER:
                    row.append((symbol, symbol, number(place(after, moved))))
            return row, _met_by_nothing_more(formula)

        before = tuple(0 if tracker.rows else -1 for tracker in trackers)
        first = self._closure(start, accepted(before))
        return minimised(trim(explore(place(first, before), expand)))

    def _closure(self, state: int, accepted: tuple[bool, ...]) -> Formula:
        """What a state asks of the rest, all free moves taken."""
        key = (state, accepted)
        if key not in self._closures:
            found: set[frozenset[int | Failing]] = set()
            seen, waiting = set(), [(state, frozenset[int | Failing]())]
            while waiting:
                item = waiting.pop()
                if item in seen:
                    continue
                seen.add(item)
                here, asked = item
                if here == _MATCHED:
                    found.add(asked)
                elif here == _AT_END or self._moves[here]:
                    found.add(asked | {here})
                for move in self._free[here]:
                    if move.tracker is not None:
                        if accepted[move.tracker] != move.negated:
                            waiting.append((move.target, asked))
                    elif move.ahead is not None:
                        rest = self._closure(move.ahead, accepted)
                        for more in _negated(rest) if move.negated else rest:
                            waiting.append((move.target, asked | more))
                    else:
                        waiting.append((move.target, asked))
            self._closures[key] = _absorbed(found)
        return self._closures[key]

    def _step(self, formula: Formula, symbol: int, accepted: tuple[bool, ...]) -> Formula:
        """What a formula asks of the rest after one more character."""
        found: set[frozenset[int | Failing]] = set()
        for conjunction in formula:
            asked = _ALWAYS
            for atom in conjunction:
                key = (atom, symbol, accepted)
                if key not in self._steps:
                    self._steps[key] = self._atom_step(*key)
                after = self._steps[key]
                asked = _absorbed({one | other for one in asked for other in after})
                if not asked:
                    break
            found |= asked
        return _absorbed(found)

    def _atom_step(self, atom: int | Failing, symbol: int, accepted: tuple[bool, ...]) -> Formula:
        if isinstance(atom, Failing):
            return _negated(self._step(atom.formula, symbol, accepted))
        return _absorbed(
            {
                one
                for members, target in self._moves[atom]
                if symbol in members
                for one in self._closure(target, accepted)
            }
        )


def _negated(formula: Formula) -> Formula:
    if formula == _NEVER:
        return _ALWAYS
    return _NEVER if formula == _ALWAYS else frozenset((frozenset((Failing(formula),)),))


def _absorbed(conjunctions: set[frozenset[int | Failing]]) -> Formula:
    """Without the conjunctions that ask more than another one."""
    if all(len(one) == 1 for one in conjunctions):
        return frozenset(conjunctions)
    kept: list[frozenset[int | Failing]] = []
    for one in sorted(conjunctions, key=len):
        if not any(other <= one for other in kept):
            kept.append(one)
    return frozenset(kept)


def _met_by_nothing_more(formula: Formula) -> bool:
    """Whether the text may end here."""
    return any(
        all(
            not _met_by_nothing_more(atom.formula) if isinstance(atom, Failing) else atom == _AT_END
            for atom in conjunction
        )
        for conjunction in formula
    )


def _table(automaton: Sparse, width: int) -> list[list[int]]:
    return automaton.dense(width).tolist()


def _partition(sets: set[Ranges]) -> tuple[list[Ranges], dict[Ranges, frozenset[int]]]:
    """Classes of characters that are in the same sets, and the classes that make up each set."""
    toggles: dict[int, int] = {}  # code point: which sets begin or end there, by bits
    numbered = list(sets)
    for number, ranges in enumerate(numbered):
        for low, high in ranges:
            toggles[low] = toggles.get(low, 0) ^ (1 << number)
            toggles[high + 1] = toggles.get(high + 1, 0) ^ (1 << number)
    classes: dict[int, list[tuple[int, int]]] = {}
    held, start = 0, 0
    for code in sorted(toggles):
        if held and start < code:
            classes.setdefault(held, []).append((start, code - 1))
        held ^= toggles[code]
        start = code
    members = {
        ranges: frozenset(place for place, held in enumerate(classes) if held >> number & 1)
        for number, ranges in enumerate(numbered)
    }
    return [tuple(ranges) for ranges in classes.values()], members
