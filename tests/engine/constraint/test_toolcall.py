"""Tool calls in the form of Gemma's chat template."""

from __future__ import annotations

from typing import Any

import pytest
from gesso.engine import ConstraintError, ToolCall, ToolDeclaration, tools
from gesso.engine.constraint.callform import GEMMA_CALLS, CallForm

PARAMETERS = {
    "type": "object",
    "properties": {
        "zone": {"type": "string"},
        "Amount": {"type": "number"},
        "flags": {"type": "array", "items": {"type": "boolean"}},
        "nested": {
            "type": "object",
            "properties": {"note": {"type": ["string", "null"]}},
            "required": ["note"],
        },
    },
    "required": ["zone", "Amount"],
}
SAVE = ToolDeclaration("save", "", PARAMETERS)
PING = ToolDeclaration("ping", "", {})
HARD = 'a "quoted", {braced} text:\nwith <<angles> <, | and 🎨 <'


def test_calls_are_written_with_bare_sorted_keys_and_unescaped_strings() -> None:
    call = ToolCall(
        "save",
        {"zone": HARD, "nested": {"note": None}, "flags": [True, False], "Amount": -2.5},
    )
    constraint = tools([SAVE])
    text = constraint.render(call)
    assert text == (
        "<|tool_call>call:save{Amount:-2.5,flags:[true,false],nested:{note:null},"
        f'zone:<|"|>{HARD}<|"|>}}<tool_call|>'
    )
    assert constraint.parse(text) == (call,)


def test_a_control_token_inside_a_string_is_no_text() -> None:
    for inside in ("a<tool_call|>b", "<|", "<<|x", '<|"|><|"|>'):
        text = f'<|tool_call>call:save{{Amount:1,zone:<|"|>{inside}<|"|>}}<tool_call|>'
        assert not tools([SAVE]).accepts(text)
    needed = ToolDeclaration("f", "", {**parameters(a={"const": "<|turn>"}), "required": ["a"]})
    with pytest.raises(ConstraintError, match="no arguments that can be written"):
        tools([needed])


@pytest.mark.parametrize(
    ("choice", "text", "one", "two"),
    [
        ("auto", True, True, True),
        ("required", False, True, True),
        ("none", True, False, False),
        ("ping", False, True, False),
        ("save", False, False, False),
    ],
)
def test_the_choice_decides_what_a_turn_may_be(
    choice: str, text: bool, one: bool, two: bool
) -> None:
    constraint = tools([SAVE, PING], choice=choice)
    ping = "<|tool_call>call:ping{}<tool_call|>"
    assert constraint.accepts("Just an answer.\nIn two lines.") == text
    assert constraint.accepts(ping) == one
    assert constraint.accepts(ping + ping) == two
    assert not constraint.accepts("")
    assert constraint.accepts(f"First a ping. {ping}{ping}") == (choice == "auto")
    assert not constraint.accepts(f"{ping} ")


def test_a_turn_makes_no_more_calls_than_it_may() -> None:
    ping = "<|tool_call>call:ping{}<tool_call|>"
    for choice in ("required", "auto"):
        constraint = tools([PING], choice=choice, most=3)
        for count in range(1, 5):
            assert (
                constraint.accepts(ping * count) == constraint.writes(ping * count) == (count < 4)
            )
    with pytest.raises(ConstraintError, match="at least one, not 0"):
        tools([PING], most=0)


def test_a_text_before_the_calls_is_none_of_them() -> None:
    constraint = tools([PING], choice="auto")
    assert constraint.parse("An answer.") == ()
    ping = "<|tool_call>call:ping{}<tool_call|>"
    assert constraint.parse(f"First a ping.{ping}") == (ToolCall("ping", {}),)


def test_calls_are_written_with_the_tokens_of_their_form() -> None:
    constraint = tools([SAVE], form=CallForm("<call>", "<end_call>", "<q>"))
    text = constraint.render(ToolCall("save", {"zone": HARD, "Amount": 1}))
    assert text == f"<call>call:save{{Amount:1,zone:<q>{HARD}<q>}}<end_call>"
    assert constraint.writes(text)
    assert constraint.parse(text) == (ToolCall("save", {"zone": HARD, "Amount": 1}),)


def parameters(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("declaration", "pointer"),
    [
        (ToolDeclaration("two words", "", {}), "/0/name"),
        (
            ToolDeclaration(
                "f", "", {**parameters(**{"a b": {"type": "null"}}), "required": ["a b"]}
            ),
            "/0/parameters",
        ),
        (ToolDeclaration("f", "", {"type": "string"}), "/0/parameters/type"),
        (
            ToolDeclaration("f", "", parameters(a={"minimum": "1"})),
            "/0/parameters/properties/a/minimum",
        ),
    ],
)
def test_a_tool_that_cannot_be_called_in_this_form_is_refused(
    declaration: ToolDeclaration, pointer: str
) -> None:
    with pytest.raises(ConstraintError) as raised:
        tools([declaration])
    assert raised.value.pointer == pointer


def test_an_unknown_choice_names_the_tools_there_are() -> None:
    with pytest.raises(ConstraintError, match=r"'pong' .* \(there are: save, ping\)"):
        tools([SAVE, PING], choice="pong")


@pytest.mark.parametrize(
    "text",
    [
        "<|tool_call>",
        "<|tool_call>call:f{",
        "<|tool_call>call:f{a:}<tool_call|>",
        "<|tool_call>call:f{a:1 b:2}<tool_call|>",
        '<|tool_call>call:f{a:<|"|>x}<tool_call|>',
        "<|tool_call>call:f{}<tool_call|>trailing",
        "<|tool_call>call:f{a:[1,2}<tool_call|>",
    ],
)
def test_a_malformed_call_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        GEMMA_CALLS.parse(text)


def test_an_argument_s_name_may_be_in_any_script() -> None:
    for name in ("größe", "ródenas_state", "日付"):
        parameters = {"type": "object", "properties": {name: {"type": "integer"}}}
        constraint = tools([ToolDeclaration("save", "", {**parameters, "required": [name]})])
        text = constraint.render(ToolCall("save", {name: 3}))
        assert constraint.writes(text)
        assert constraint.parse(text) == (ToolCall("save", {name: 3}),)
