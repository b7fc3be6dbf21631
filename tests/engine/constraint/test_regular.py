"""Expressions as automata, beside sets of texts that are counted out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from gesso.engine import ConstraintError
from gesso.engine.constraint import regular
from gesso.engine.constraint.dfa import Dfa, minimise
from gesso.engine.constraint.regular import (
    ANY,
    EMPTY,
    NOTHING,
    Both,
    Characters,
    Control,
    Expression,
    Graph,
    Literal,
    Not,
    Repeat,
    complement,
    determinise,
    either,
    sequence,
    spelled,
    utf8_nodes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

LETTERS = "abé"
TEXTS = ["".join(text) for length in range(5) for text in product(LETTERS, repeat=length)]
Language = frozenset[str]


def only(text: str) -> Expression:
    return Characters(((ord(text), ord(text)),))


def accepts(dfa: Dfa, text: str) -> bool:
    state = dfa.run(text.encode("utf-8", "surrogatepass"))
    return state >= 0 and bool(dfa.final[state])


def language(expression: Expression) -> Language:
    dfa = determinise(expression)
    return frozenset(text for text in TEXTS if accepts(dfa, text))


def joined(first: Language, second: Language) -> Language:
    return frozenset(one + other for one in first for other in second) & frozenset(TEXTS)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[Expression, Language]:
    """An expression, and its texts of up to four letters by the definitions."""
    kinds = ["letter", "text", "empty", "nothing", "any"]
    if depth:
        kinds += ["sequence", "either", "repeat", "both", "not", "graph"]
    kind = draw(st.sampled_from(kinds))
    if kind == "letter":
        letter = draw(st.sampled_from(LETTERS))
        return only(letter), frozenset({letter})
    if kind == "text":
        text = draw(st.sampled_from(["ab", "éb", "aab", "é"]))
        return Literal(text), frozenset({text})
    if kind == "empty":
        return EMPTY, frozenset({""})
    if kind == "nothing":
        return NOTHING, frozenset()
    if kind == "any":
        return Characters(ANY), frozenset(LETTERS)
    one, texts = draw(expressions(depth=depth - 1))
    if kind == "not":
        return Not(one), frozenset(TEXTS) - texts
    if kind == "repeat":
        least = draw(st.integers(0, 2))
        most = draw(st.one_of(st.none(), st.integers(least, 3)))
        found, power = frozenset[str](), frozenset({""})
        for count in range(9 if most is None else most + 1):
            found |= power if count >= least else frozenset()
            power = joined(power, texts)
        return Repeat(one, least, most), found
    other, more = draw(expressions(depth=depth - 1))
    if kind == "sequence":
        return sequence(one, other), joined(texts, more)
    if kind == "either":
        return either(one, other), texts | more
    if kind == "both":
        return Both(one, other), texts & more
    # (one other)* one
    found, power = frozenset[str](), texts
    for _ in range(9):
        found |= power
        power = joined(joined(power, more), texts) | power
    return Graph(((0, one, 1), (1, other, 0)), (1,)), found


@settings(deadline=None)
@given(expressions())
def test_an_expression_has_the_texts_that_it_is_defined_to_have(
    case: tuple[Expression, Language],
) -> None:
    expression, texts = case
    assert language(expression) == texts


@settings(deadline=None, max_examples=40)
@given(expressions())
def test_an_automaton_is_trimmed_and_has_no_two_states_alike(
    case: tuple[Expression, Language],
) -> None:
    dfa = determinise(case[0])
    assert len(minimise(dfa).final) == len(dfa.final)
    if dfa.is_empty:
        return
    states = len(dfa.final)
    table = np.vstack([dfa.table, np.full(dfa.table.shape[1], states)])
    table = np.where(table < 0, states, table)
    differ = np.not_equal.outer(np.append(dfa.final, False), np.append(dfa.final, False))
    for _ in range(states + 1):  # the textbook's table of pairs
        differ |= differ[table[:, None, :], table[None, :, :]].any(axis=2)
    assert (differ | np.eye(states + 1, dtype=bool)).all()  # the dead state is told apart too


def test_minimise_joins_states_that_are_alike() -> None:
    table = np.full((4, 256), -1, dtype=np.int32)
    table[0, 97], table[0, 98], table[1, 99], table[2, 99] = 1, 2, 3, 3
    final = np.array([False, False, False, True])
    small = minimise(Dfa(table, final, ()))
    assert len(small.final) == 3
    assert [accepts(small, text) for text in ("ac", "bc", "cc", "a")] == [True, True, False, False]


def test_a_complement_is_well_formed_utf8() -> None:
    dfa = determinise(Not(Literal("é")))
    assert accepts(dfa, "è")
    assert accepts(dfa, "")
    assert accepts(dfa, "🎨é")
    assert not accepts(dfa, "é")
    for bytes_ in (b"\xc3", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"):
        state = dfa.run(bytes_)
        assert state < 0 or not dfa.final[state]


def test_a_complement_of_control_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="control tokens"):
        determinise(Not(Control("<turn|>")))


@pytest.mark.parametrize(
    "ranges", [ANY, complement(((0, 127),)), ((0x7F, 0x80),), ((0x7FF, 0x800), (0xFFFF, 0x10000))]
)
def test_characters_are_spelled_as_utf8_spells_them(ranges: regular.Ranges) -> None:
    dfa = determinise(Characters(ranges))
    edges = {edge + step for span in ranges for edge in span for step in (-1, 0, 1)}
    for code in edges | {0, 0x40, 0xD7FF, 0xE000, 0x1F600, 0x10FFFF}:
        if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            inside = any(low <= code <= high for low, high in ranges)
            assert accepts(dfa, chr(code)) == inside, hex(code)
    assert dfa.run(b"\xed\xa0\x80") < 0


def test_any_character_is_a_handful_of_states() -> None:
    assert len(utf8_nodes(ANY)) == 8
    assert len(determinise(Repeat(Characters(ANY), 0, None)).final) == 8


def test_what_has_one_continuation_is_one_state() -> None:
    members = [Literal(f"member{place}") for place in range(10)]
    tails = [sequence(*[Repeat(one, 0, 1) for one in members[place:]]) for place in range(10)]
    assert len(determinise(either(*tails)).final) < 120


@settings(deadline=None)
@given(expressions())
def test_a_language_is_spelled_character_by_character(case: tuple[Expression, Language]) -> None:
    expression, texts = case

    def twice(ranges: regular.Ranges) -> Expression:
        """Each of the test's letters in two ways, and nothing else."""
        ways = []
        for letter in LETTERS:
            if any(low <= ord(letter) <= high for low, high in ranges):
                ways += [Literal(letter), Literal(f"\\{letter}")]
        return either(*ways)

    dfa = determinise(spelled(expression, twice))
    for text in TEXTS[:60]:
        assert accepts(dfa, text) == (text in texts)
        assert accepts(dfa, "".join(f"\\{letter}" for letter in text)) == (text in texts)
    assert not accepts(dfa, "\\")


def test_a_language_of_too_many_states_is_refused() -> None:
    with pytest.raises(ConstraintError, match="more than 30000 states"):
        determinise(Repeat(Characters(((97, 97),)), 0, 40_000))
