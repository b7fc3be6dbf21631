"""JSON Schema as a language: what it accepts is valid, what it cannot say is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from gesso.engine import Constraint, ConstraintError, json_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator


def is_valid(value: Any, schema: Any) -> bool:
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(schema, format_checker=checker).is_valid(value)


def random_text(constraint: Constraint, rng: random.Random, longest: int = 400) -> str | None:
    """A random walk through the automaton, ended at a final state."""
    dfa, state, symbols = constraint.dfa, constraint.dfa.start, bytearray()
    while len(symbols) < longest:
        ways = [symbol for symbol in range(256) if dfa.table[state][symbol] >= 0]
        if dfa.final[state] and (not ways or rng.random() < 0.3):
            return symbols.decode()
        if not ways:
            return None
        symbol = rng.choice(ways)
        symbols.append(symbol)
        state = int(dfa.table[state][symbol])
    return None


NAMES = st.sampled_from(["a", "b c", "é", 'q"', "A"])
STRINGS = st.one_of(
    st.just({"type": "string"}),
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 3),
        st.integers(0, 4),
    ),
    st.sampled_from(
        [
            {"type": "string", "pattern": "^[A-Z]{1,2}\\d+$"},
            {"type": "string", "pattern": "b", "maxLength": 5},
            {"type": "string", "pattern": "^\\S+\\.$|x\\/y", "minLength": 2},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "email"},
            {"type": "string", "format": "uuid"},
        ]
    ),
)
LEAVES = st.one_of(
    STRINGS,
    st.sampled_from(
        [
            {"type": "integer"},
            {"type": "number"},
            {"type": ["boolean", "null"]},
            {"enum": ["x", 3, None, 'say "hi"\n']},
            {"const": -1.5},
            {"$ref": "#/$defs/money"},
        ]
    ),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.builds(
        lambda item, low, more: {
            "type": "array",
            "items": item,
            "minItems": low,
            "maxItems": low + more,
        },
        inner,
        st.integers(0, 2),
        st.integers(0, 2),
    )
    objects = st.builds(
        lambda properties, seed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if random.Random(seed + name).random() < 0.5],
            "additionalProperties": False,
        },
        st.dictionaries(NAMES, inner, max_size=4),
        st.text("abc", max_size=3),
    )
    either = st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner)
    return st.one_of(lists, objects, either)


SCHEMAS = st.recursive(LEAVES, containers, max_leaves=6).map(
    lambda schema: {
        **schema,
        "$defs": {
            "money": {
                "type": "object",
                "properties": {"amount": {"type": "number"}},
                "required": ["amount"],
                "additionalProperties": False,
            }
        },
    }
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SCHEMAS, st.integers(0, 1000))
def test_whatever_is_accepted_is_valid_and_renders_again(schema: Any, seed: int) -> None:
    constraint, rng = json_schema(schema), random.Random(seed)
    for _ in range(8):
        text = random_text(constraint, rng)
        if text is None:
            continue
        assert constraint.accepts(text)
        value = json.loads(text)
        assert is_valid(value, schema), text
        if "e" not in text.lower():  # a float may be written with an exponent of another form
            assert constraint.parse(constraint.render(value)) == value
        broken = text.replace('"', "", 1) if '"' in text else text + "x"
        assert not constraint.accepts(broken) or is_valid(json.loads(broken), schema)


def record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_white_space_stands_between_tokens_only() -> None:
    constraint = json_schema(
        record(a={"type": "integer"}, b={"type": "array", "items": {"type": "null"}})
    )
    for text in ('{"a":1,"b":[]}', '{ "a" : 1 ,\n\t"b" : [ null , null ] }', '{"a":1,"b":[ ]}'):
        assert constraint.accepts(text)
    for text in (' {"a":1,"b":[]}', '{"a":1,"b":[]}\n', '{"a":1 2,"b":[]}', '{"b":[],"a":1}'):
        assert not constraint.accepts(text)


def test_values_are_rendered_in_the_schemas_order() -> None:
    schema = {**record(z={"type": "null"}), "$defs": {"inner": record(y={}, x={})}}
    schema["$defs"]["inner"] = record(y={"type": "integer"}, x={"type": "string"})
    schema["properties"]["inner"] = {"$ref": "#/$defs/inner"}
    constraint = json_schema(schema)
    value = {"inner": {"x": 'é"\n', "y": 2}, "z": None}
    assert constraint.render(value) == '{"z":null,"inner":{"y":2,"x":"é\\"\\n"}}'
    with pytest.raises(ConstraintError, match="not a value"):
        constraint.render({"z": 1})


@pytest.mark.parametrize(
    ("schema", "accepted", "refused"),
    [
        ({"type": "integer"}, ["0", "-7", "10"], ["01", "1.0", "+1", "1e3", "--1", ""]),
        ({"type": "number"}, ["0", "-0.5", "1e5", "2.5E-3"], ["1.", ".5", "1e", "NaN", "1e999"]),
        (
            {"type": "string", "format": "date"},
            ['"2024-02-29"', '"2000-02-29"', '"1999-12-31"'],
            ['"2023-02-29"', '"1900-02-29"', '"2024-04-31"', '"0000-01-01"', '"2024-1-1"'],
        ),
        (
            {"type": "string", "maxLength": 2},
            ['""', '"ab"', '"日本"', '"\\n\\""', '"\\u00e9x"', '"🎨🎨"'],
            ['"abc"', '"\\ud800x"', '"a\nb"', '"\\x"'],
        ),
        ({"enum": ["a", 1, None]}, ['"a"', "1", "null"], ['"b"', '"1"', "true"]),
        ({"enum": ["a", 1], "type": "string"}, ['"a"'], ["1"]),
    ],
)
def test_scalars(schema: Any, accepted: list[str], refused: list[str]) -> None:
    constraint = json_schema(schema)
    assert [text for text in accepted if not constraint.accepts(text)] == []
    assert [text for text in refused if constraint.accepts(text)] == []


@pytest.mark.parametrize(
    ("schema", "pointer", "keyword"),
    [
        ({"type": "integer", "minimum": 3}, "/minimum", "minimum"),
        (record(a={"type": "number", "multipleOf": 2}), "/properties/a/multipleOf", "multipleOf"),
        (
            {"type": "array", "items": {"type": "null"}, "uniqueItems": True},
            "/uniqueItems",
            "uniqueItems",
        ),
        ({"oneOf": [{"type": "null"}]}, "/oneOf", "oneOf"),
        ({"type": "string", "not": {"const": "a"}}, "/not", "not"),
        ({"type": "object", "patternProperties": {}}, "/patternProperties", "patternProperties"),
        ({"anyOf": [{"type": "null"}, {"allOf": []}]}, "/anyOf/1/allOf", "allOf"),
        ({"type": "string", "format": "hostname"}, "/format", "format"),
        ({"type": "text"}, "/type", "type"),
        ({"enum": []}, "/enum", "enum"),
        ({"type": "string", "minLength": 4, "maxLength": 3}, "/minLength", "minLength"),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 1},
            "/minItems",
            "minItems",
        ),
        ({"$ref": "https://example.org/s"}, "/$ref", "$ref"),
        ({"$ref": "#/$defs/missing"}, "/$ref", "$ref"),
        ({"$ref": "#"}, "/$ref", "$ref"),
        ({"type": "array"}, "/type", "type"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "/required", "required"),
        (record(a={}), "/properties/a", None),
        (record(a=True), "/properties/a", None),
        ({"type": "string", "pattern": "a(?=b)"}, "/pattern", "pattern"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_its_place(
    schema: Any, pointer: str, keyword: str | None
) -> None:
    with pytest.raises(ConstraintError) as raised:
        json_schema(schema)
    assert raised.value.pointer == pointer
    assert raised.value.keyword == keyword
    assert pointer in str(raised.value)


def test_a_language_that_is_narrower_than_its_schema_says_so() -> None:
    schema = {**record(a={"type": "string", "maxLength": 5000}), "additionalProperties": True}
    notes = json_schema(schema).notes
    assert any("maxLength" in note for note in notes)
    assert any("additionalProperties" in note for note in notes)
