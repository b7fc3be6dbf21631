"""The lift to a vocabulary, beside walking every token byte by byte."""

from __future__ import annotations

import random
from typing import Any

import pytest
from gesso.engine import ConstraintError, ToolDeclaration, choice, json_schema, regex, tools
from gesso.engine.constraint import Constraint, TokenAutomaton, compile_automaton
from gesso.engine.constraint.bodies import MOST_COUNTED
from gesso.engine.vocabulary import Vocabulary

PIECES = (
    *('"', '",', '":', '","', '": "', '{"', '"}', '"}', '["', '"]', ' "', 'a"', '本"', '\\"b'),
    *("{", "}", "[", "]", ",", ", ", ":", "-", ".", " ", "  ", "\n", "\t ", "\\", "\\u", "\\u00"),
    *(
        "ab",
        "abc",
        "ba",
        "cab",
        "foo",
        "xfoo",
        "oo",
        "é",
        "日",
        "日本",
        "name",
        "tot",
        "al",
        "é日a",
    ),
    *("00", "12", "123", "e1", "true", "null", "date", "202", "6-1", "<", "<|", "|>", '<|"|>'),
    *("call:", "save", "save{", "b" * 16),
)
CONTROLS = ("<|tool_call>", "<tool_call|>", '<|"|>', "<end>", "<stop>")


def vocabulary(*more: str, ends: tuple[str, ...] = ()) -> Vocabulary:
    """All bytes, pieces of text (one of them twice), parts of characters, and control tokens; two
    of these end a turn, and so do the texts `ends`."""
    tokens: list[bytes | None] = [bytes([byte]) for byte in range(256)]
    tokens += [piece.encode() for piece in (*PIECES, *more)]
    tokens += [b"\xe6\x97", b"\xa5\xe6", b'\xa5"', b"\xf0\x9f", b"\x8e\xa8a", b"a\xe6"]
    controls = {name: len(tokens) + index for index, name in enumerate(CONTROLS)}
    all_ends = (
        controls["<end>"],
        controls["<stop>"],
        *(tokens.index(end.encode()) for end in ends),
    )
    return Vocabulary(tokens + [None] * len(CONTROLS), controls, all_ends)


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)[:1]}


LISTED = {"enum": ["a", "ab", 'x"y', "日本", 12]}
SAVE = an_object(name={"type": "string", "maxLength": 4}, tot={"type": "number"}, a=LISTED)
SCHEMAS: dict[str, Any] = {
    "a free string": {"type": "string"},
    "a short string": {"type": "string", "maxLength": 5},
    "a long string": {"type": "string", "minLength": 2},
    "a counted string": {"type": "string", "minLength": 1, "maxLength": 3},
    "a string of more characters than a token's": {"type": "string", "minLength": 18},
    "an anchored pattern": {"type": "string", "pattern": "^a+b"},
    "an unanchored pattern": {"type": "string", "pattern": "foo|b.b"},
    "a counted unanchored pattern": {"type": "string", "pattern": "ab", "maxLength": 4},
    "only the empty string": {"type": "string", "pattern": "^$"},
    "a date": {"type": "string", "format": "date"},
    "listed or short": {"anyOf": [{"type": "string", "maxLength": 3}, LISTED]},
    "listed or of a pattern": {"anyOf": [{"type": "string", "pattern": "ab"}, LISTED]},
    "an object": SAVE,
    "a list of strings": an_object(a={"type": "array", "items": {"type": "string"}}),
    "lists of counted strings": {"type": "array", "items": {"type": "string", "maxLength": 2}},
    "two kinds of counted strings": an_object(
        a={"type": "string", "minLength": 1}, b={"type": "string", "minLength": 2, "maxLength": 3}
    ),
    "members of any name": an_object(a={"type": "string"})
    | {"additionalProperties": {"type": "integer"}},
    "members by a pattern": {"type": "object", "patternProperties": {"b": {"type": "null"}}},
    "anything": {},
}
CONSTRAINTS: dict[str, Constraint] = {
    **{name: json_schema(schema) for name, schema in SCHEMAS.items()},
    "a regex": regex("(ab|c)*é?"),
    "an unanchored regex": regex(".*foo.*"),
    "a choice": choice(["ab", "abc", "name", "foofoo"]),
    **{
        f"calls, {kind}": tools([ToolDeclaration("save", "", SAVE)], choice=kind)
        for kind in ("auto", "required", "save")
    },
}


def spelled(constraint: Constraint, words: Vocabulary, state: int, token: int) -> int:
    """The state over bytes behind a token, -1 where it may not stand."""
    dfa = constraint.dfa
    text = words.tokens[token]
    symbols = list(text or b"")
    if text is None:
        name = next(name for name, number in words.controls.items() if number == token)
        if name not in dfa.controls:
            return -1
        symbols = [256 + dfa.controls.index(name)]
    for symbol in symbols:
        state = int(dfa.table[state, symbol])
        if state < 0:
            return -1
    return state


def disagreement(constraint: Constraint, words: Vocabulary, automaton: TokenAutomaton) -> str:
    """Walk bytes and tokens together, from pair to pair of their states, and say where they first
    differ; empty when they never do. Of large automata some pairs are looked at, the same ones
    each time."""
    order = random.Random(0)
    pairs = {(constraint.dfa.start, automaton.start)}
    waiting, looked_at = list(pairs), 0
    while waiting and looked_at < 150:
        state, lifted = waiting.pop(order.randrange(len(waiting)))
        looked_at += 1
        for token in range(len(words)):
            after = automaton.advance(lifted, token)
            if token in words.ends and constraint.dfa.final[state]:
                if after != automaton.sink:
                    return f"{token} does not end in {state}"
                continue
            expected = spelled(constraint, words, state, token)
            if (after < 0) != (expected < 0):
                return f"{words.tokens[token]} in {state} leads to {after}, not to {expected}"
            if after >= 0 and (expected, after) not in pairs:
                pairs.add((expected, after))
                waiting.append((expected, after))
    if not len(pairs) == len({state for state, _ in pairs}) == len({state for _, state in pairs}):
        return "two states over bytes are one over tokens, or the other way round"
    return ""


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_token_leads_where_its_bytes_do(name: str) -> None:
    words = vocabulary()
    automaton = compile_automaton(CONSTRAINTS[name], words)
    assert disagreement(CONSTRAINTS[name], words, automaton) == ""


def test_a_text_may_end_a_turn_as_well() -> None:
    words = vocabulary(ends=("foo", "oo"))
    constraint = regex("(a|b)*")
    automaton = compile_automaton(constraint, words)
    assert disagreement(constraint, words, automaton) == ""


def test_a_token_of_very_many_characters_is_not_used_where_they_count() -> None:
    longer = "a" * (MOST_COUNTED + 1)
    words = vocabulary(longer)
    token = words.tokens.index(longer.encode())
    opened = words.tokens.index(b'"')
    for schema, used in (({"type": "string"}, True), ({"type": "string", "maxLength": 64}, False)):
        automaton = compile_automaton(json_schema(schema), words)
        inside = automaton.advance(automaton.start, opened)
        assert (automaton.advance(inside, token) >= 0) is used


def test_a_vocabulary_that_cannot_spell_a_language_is_refused() -> None:
    words = Vocabulary([None, b"a", b"ab"], {"<end>": 0}, (0,))
    assert compile_automaton(choice(["aab", "abb"]), words).states == 3
    with pytest.raises(ConstraintError, match="has no tokens"):
        compile_automaton(choice(["abb"]), words)
    with pytest.raises(ConstraintError, match="no control token"):
        compile_automaton(CONSTRAINTS["calls, save"], words)
