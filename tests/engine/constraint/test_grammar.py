"""Grammars in Lark's notation: what is written is what llguidance derives."""

from __future__ import annotations

import random

import numpy as np
import pytest
from gesso.engine import Constraint, ConstraintError, lark

ARITHMETIC = r"""
start: expr
expr: term (("+" | "-") term)*
term: NUMBER | "(" expr ")" | NAME ["[" NUMBER "]"]
NAME: /[a-z]+/
NUMBER: /[0-9]+/
%ignore /[ \t]+/
"""
JSON = r"""
start: value
value: object | array | STRING | NUMBER | "true" | "false" | "null"
object: "{" [pair ("," pair)*] "}"
pair: STRING ":" value
array: "[" [value ("," value)*] "]"
STRING: /"[^"\\\x00-\x1f]*"/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?/
%ignore /[ \n]+/
"""
AMBIGUOUS = 'start: e\ne: e "+" e | e "*" e | "(" e ")" | /[0-9]/'


def drawn(constraint: Constraint, rng: random.Random) -> str | None:
    """A random walk through what can be written; `None` when it does not end soon."""
    dfa, state, written = constraint.dfa, constraint.dfa.start, bytearray()
    for _ in range(60):
        ways = np.flatnonzero(dfa.table[state] >= 0).tolist()
        if dfa.final[state] and (not ways or rng.random() < 0.25):
            return written.decode()
        written.append(rng.choice(ways))
        state = int(dfa.table[state, written[-1]])
    return None


@pytest.mark.parametrize("grammar", [ARITHMETIC, JSON, AMBIGUOUS], ids=["sums", "json", "e + e"])
def test_llguidance_derives_whatever_can_be_written(grammar: str) -> None:
    constraint, rng = lark(grammar), random.Random(7)
    texts = [text for _ in range(300) if (text := drawn(constraint, rng)) is not None]
    assert len(texts) > 200
    assert [text for text in texts if not constraint.accepts(text)] == []


@pytest.mark.parametrize(
    ("grammar", "texts"),
    [
        (ARITHMETIC, ["1", "a[2] + (3 - (b))", "((1))", "1 +\t2+3", "a+a+a+a+a+a+a+a+a+a+a"]),
        (JSON, ["{}", '[1, {"a": [null, "é"]}]', "[[[[1]]]]", "[" + "0,\n" * 40 + "0]"]),
        (AMBIGUOUS, ["1", "1+2*3+4", "(1+2)*3", "1*(2+(3))"]),
        ('start: "a" start | "b"', ["b", "a" * 500 + "b"]),
        ('start: start "a" | "b"', ["b", "b" + "a" * 500]),
        ('start: "Select"i NAME\nNAME: /[a-z]+/\n%ignore " "', ["select a", "SELECT  b"]),
        ('start: "a" start "b" | "c"', ["c", "acb", "aaaaacbbbbb"]),
        ('start: a b\na: | "x"\nb: "y"\n', ["y", "xy"]),
        ('start: x\nx: y | "1"\ny: x | "2"', ["1", "2"]),
        ('start: x y\nx: "a"?\ny: "b"?\n%ignore " "', ["", "b", "a  b"]),
        (
            "start: "
            + " ".join("abcdefghijklmnop")
            + "\n"
            + "".join(f'{one}: "{one}"?\n' for one in "abcdefghijklmnop")
            + '%ignore " "',
            ["", "ap", "b c  no"],
        ),
        ('start: "Straße"i', ["straße", "STRAßE"]),
    ],
)
def test_what_llguidance_derives_can_be_written(grammar: str, texts: list[str]) -> None:
    constraint = lark(grammar)
    for text in texts:
        assert constraint.accepts(text), text
        assert constraint.writes(text), text


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (ARITHMETIC, "(1"),
        (ARITHMETIC, " 1"),
        (JSON, "[1,]"),
        ('start: "a" start "b" | "c"', "acbb"),
        ('start: x y\nx: "a"?\ny: "b"\n%ignore " "', " b"),
        ('start: "ı"i', "I"),
    ],
)
def test_what_is_not_derived_is_neither_accepted_nor_written(grammar: str, text: str) -> None:
    constraint = lark(grammar)
    assert not constraint.accepts(text)
    assert not constraint.writes(text)


def test_only_what_nests_is_bounded_and_that_is_noted() -> None:
    assert lark('start: "a" start | "b"').notes == ()
    (note,) = lark(ARITHMETIC).notes
    assert "nest in themselves at most" in note
    deep = "(" * 40 + "1" + ")" * 40
    assert lark(ARITHMETIC).accepts(deep)
    assert not lark(ARITHMETIC).writes(deep)


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("start: a", "not a grammar in Lark's notation"),
        ("start: /(a)\\1/", "terminal"),
        ('start: "a" start', "no text that can be written"),
        ("start: /\\p/", "bad escape"),
        ("%import nothing.X\nstart: X", "nothing.lark"),
        ("%declare X\nstart: X", "terminal X: it is declared without a pattern"),
        (
            "start: r0\n"
            + "\n".join(f"r{n}: r{n + 1} r{n + 1}" for n in range(500))
            + '\nr500: "a"',
            "far",
        ),
    ],
)
def test_a_grammar_that_cannot_be_compiled_is_refused(grammar: str, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        lark(grammar)


def test_levels_of_precedence_take_no_longer_the_more_there_are() -> None:
    levels = "".join(f'level{n}: level{n + 1} ("o{n}" level{n + 1})*\n' for n in range(14))
    operand = 'level14: /[0-9]+/ | "(" level0 ")"'
    constraint = lark(f"start: level0\n{levels}{operand}")
    for text in ("1o13(2o03)o74", "((((1))))"):
        assert constraint.accepts(text)
        assert constraint.writes(text)


def test_a_grammar_that_llguidance_cannot_judge_is_not_taken_for_a_wrong_text() -> None:
    many = lark("start: " + "|".join(f'"word{n}"' for n in range(2100)))
    assert "cannot judge a text of this grammar" in str(many.complaint("word5"))
    assert lark('start: "a"').complaint("b") == "not a text of this grammar"
