"""Languages put together: sequences, options, free text, and turns that begin with a thought."""

from __future__ import annotations

from typing import Any, cast

import pytest
from gesso.engine import (
    ConstraintError,
    ToolCall,
    ToolDeclaration,
    choice,
    either,
    free_text,
    json_schema,
    regex,
    sequence,
    tools,
)
from gesso.engine.constraint import ThoughtForm, thought

PING = ToolDeclaration("ping", "", {})
CALL = "<|tool_call>call:ping{}<tool_call|>"
THOUGHT = "<|channel>thought\nShort.<channel|>"
TURN = sequence(thought(ThoughtForm()), either(free_text(), tools([PING], most=4)))


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (f"{THOUGHT}An answer.", True),
        (THOUGHT + CALL, True),
        (THOUGHT + CALL * 4, True),
        (f"<|channel>thought\n<channel|>{CALL}", True),
        (THOUGHT, False),
        ("An answer.", False),
        (THOUGHT + THOUGHT, False),
        (f"{THOUGHT}Text.{CALL}", False),
        (THOUGHT + CALL * 5, False),
        (f"<|channel>thought\na <|turn> b<channel|>{CALL}", False),
    ],
)
def test_a_turn_is_a_thought_and_then_an_answer_or_one_to_four_calls(
    text: str, accepted: bool
) -> None:
    assert TURN.accepts(text) == TURN.writes(text) == accepted


def test_the_value_of_a_sequence_is_that_of_its_parts() -> None:
    assert TURN.parse(f"{THOUGHT}Yes.") == (THOUGHT, "Yes.")
    assert TURN.parse(THOUGHT + CALL) == (THOUGHT, (ToolCall("ping", {}),))
    labelled = sequence(choice(["a", "ab"]), regex(": "), json_schema({"type": "integer"}))
    assert labelled.parse("ab: 12") == ("ab", ": ", 12)
    assert labelled.render(("ab", ": ", 12)) == "ab: 12"


def test_a_text_that_can_be_cut_in_several_ways_goes_to_the_first_part() -> None:
    greedy = sequence(regex("a*"), regex("a?b"), regex("b*"))
    assert greedy.parse("aabb") == ("aa", "b", "b")
    verdict = sequence(free_text(), choice(["yes", "no"]))
    assert verdict.parse("I say no") == ("I say ", "no")
    assert not verdict.accepts("no")


def test_a_part_that_is_only_checked_when_finished_is_checked_in_a_sequence() -> None:
    unique = json_schema({"type": "array", "items": {"type": "integer"}, "uniqueItems": True})
    both = sequence(regex("[a-z]+ "), unique)
    assert both.checked == unique.checked != ()
    assert both.accepts("ids [1,2]")
    assert both.complaint("ids [1,1]") == "value: [1, 1] has non-unique elements"


def test_an_option_gives_the_value_of_the_first_that_accepts_the_text() -> None:
    count = either(json_schema({"type": "integer", "minimum": 1}), choice(["none", "7"]))
    assert count.parse("7") == 7
    assert count.parse("none") == "none"
    assert count.render("none") == "none"
    assert count.render(3) == "3"
    with pytest.raises(ConstraintError, match="not a value"):
        count.render("some")


def test_a_schema_in_a_sequence_is_told_to_the_model() -> None:
    assert sequence(regex("a"), json_schema({"type": "null"})).describe() == '{"type":"null"}'
    assert sequence(regex("a"), choice(["b"])).describe() is None


def test_text_that_spells_a_control_token_of_no_part_is_text() -> None:
    quoted = sequence(regex("x"), json_schema({"type": "string"}))
    assert quoted.parse('x"<|tool_call>"') == ("x", "<|tool_call>")
    assert not free_text().accepts("<|tool_call>")
    assert not free_text().accepts("")


def test_text_that_spells_a_control_token_of_another_part_is_text() -> None:
    mixed = either(json_schema({"type": "string"}), tools([PING]))
    line = sequence(regex("x"), mixed, regex("y"))
    text = 'x"<|tool_call>"y'
    assert mixed.writes('"<|tool_call>"')
    assert line.writes(text)
    assert line.accepts(text)
    assert line.parse(text) == ("x", "<|tool_call>", "y")
    assert sequence(line, tools([PING])).parse(text + CALL) == (
        ("x", "<|tool_call>", "y"),
        (ToolCall("ping", {}),),
    )
    assert not line.writes("x<|tool_call>y")


def test_a_value_of_no_option_is_refused_whatever_it_is() -> None:
    mixed = either(json_schema({"type": "integer"}), tools([PING]))
    assert mixed.render(3) == "3"
    assert mixed.render([ToolCall("ping", {})]) == CALL
    for value in (object(), {"a"}, ["ping"], ToolCall("ping", {"a": object()})):
        with pytest.raises(ConstraintError):
            mixed.render(value)
    with pytest.raises(ConstraintError, match="as many values"):
        sequence(regex("x"), mixed).render(3)


def test_a_call_that_is_valid_but_never_written_may_stand_behind_a_text_too() -> None:
    note = ToolDeclaration(
        "note", "", {"properties": {"text": {"type": "string", "maxLength": 999}}}
    )
    call = f'<|tool_call>call:note{{text:<|"|>{"z" * 300}<|"|>}}<tool_call|>'
    turns = tools([note], choice="auto")
    assert not turns.writes(call)
    assert turns.accepts(call)
    assert turns.accepts(f"I note it.{call}")
    assert not turns.accepts(f"I <|note> it.{call}")
    assert not tools([note]).accepts(f"I note it.{call}")


def test_a_schema_that_is_not_json_is_refused() -> None:
    circular: dict[str, Any] = {}
    circular["not"] = circular
    for schema in ([1], None, "x", {"enum": {1, 2}}, {"const": float("inf")}, circular):
        with pytest.raises(ConstraintError, match="a schema"):
            json_schema(cast(Any, schema))
    with pytest.raises(ConstraintError, match="must be JSON"):
        tools([ToolDeclaration("ping", "", {"enum": {1, 2}})])


def test_what_cannot_be_put_together_is_refused() -> None:
    with pytest.raises(ConstraintError, match="nothing to be put together"):
        sequence()
    with pytest.raises(ConstraintError, match="of 2 has not 1"):
        sequence(regex("a"), regex("b")).render(["a"])
    with pytest.raises(ConstraintError, match="too large"):
        sequence(*[regex(".{0,500}")] * 100)
