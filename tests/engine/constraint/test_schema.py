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


def test_white_space_is_written_between_tokens_only() -> None:
    constraint = json_schema(
        record(a={"type": "integer"}, b={"type": "array", "items": {"type": "null"}})
    )
    for text in ('{"a":1,"b":[]}', '{ "a" : 1 ,\n\t"b" : [ null , null ] }', '{"a":1,"b":[ ]}'):
        assert constraint.writes(text)
        assert constraint.accepts(text)
    for text in ('{"a":1 2,"b":[]}', '{"a":1,"b":[],}', '{"a":1 "b":[]}', '{"a":1,"a":2,"b":[]}'):
        assert not constraint.writes(text)
        assert not constraint.accepts(text)


def test_members_are_accepted_in_any_order_and_written_in_the_schemas() -> None:
    constraint = json_schema(record(a={"type": "integer"}, b={"type": "null"}))
    assert constraint.accepts('{"b": null, "a": 1}')
    assert not constraint.writes('{"b": null, "a": 1}')


def test_values_are_rendered_in_the_schemas_order() -> None:
    schema = {**record(z={"type": "null"}), "$defs": {"inner": record(y={}, x={})}}
    schema["$defs"]["inner"] = record(y={"type": "integer"}, x={"type": "string"})
    schema["properties"]["inner"] = {"$ref": "#/$defs/inner"}
    constraint = json_schema(schema)
    value = {"inner": {"x": 'é"\n', "y": 2}, "z": None}
    assert constraint.render(value) == '{"z":null,"inner":{"y":2,"x":"é\\"\\n"}}'
    with pytest.raises(ConstraintError, match="not a value"):
        constraint.render({"z": 1})


def test_values_are_rendered_in_the_order_of_what_a_reference_leads_to() -> None:
    item = {"$anchor": "item", **record(y={"type": "null"}, x={"type": "null"})}
    constraint = json_schema({"$defs": {"item": item}, "anyOf": [{"$ref": "#item"}, False]})
    assert constraint.render({"x": None, "y": None}) == '{"y":null,"x":null}'


@pytest.mark.parametrize(
    ("schema", "accepted", "refused"),
    [
        ({"type": "integer"}, ["0", "-7", "10"], ["01", "1.5", "+1", "--1", ""]),
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
        ({"minimum": "3"}, "/minimum", "minimum"),
        (record(a={"multipleOf": 0}), "/properties/a/multipleOf", "multipleOf"),
        ({"anyOf": [{"type": "null"}, {"allOf": []}]}, "/anyOf/1/allOf", "allOf"),
        ({"type": "text"}, "/type", "type"),
        ({"enum": []}, "/enum", "enum"),
        ({"minLength": -1}, "/minLength", "minLength"),
        ({"maxItems": 1.5}, "/maxItems", "maxItems"),
        ({"properties": []}, "/properties", "properties"),
        ({"required": "a"}, "/required", "required"),
        ({"pattern": "(a"}, "/pattern", "pattern"),
        ({"$ref": "https://example.org/s"}, "/$ref", "$ref"),
        ({"$ref": "#/$defs/missing"}, "/$ref", "$ref"),
        ({"$ref": "#"}, "/$ref", "$ref"),
        ({"properties": {"a/b": {"not": 3}}}, "/properties/a~1b/not", "not"),
        ({"properties": {"a/b": 3}}, "/properties/a~1b", None),
        ({"anyOf": [{"type": "null"}, "text"]}, "/anyOf/1", None),
        ({"items": [{}, 3]}, "/items/1", None),
        ({"additionalProperties": [{}]}, "/additionalProperties", "additionalProperties"),
        ({"maximum": 10**400}, "/maximum", "maximum"),
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


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "string", "minLength": 4, "maxLength": 3},
        {"type": "array", "minItems": 2, "maxItems": 1},
        {"allOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
        {"required": ["a"], "properties": {"a": False}, "type": "object"},
        {"enum": ["a"], "not": {"pattern": "a"}},
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused(schema: Any) -> None:
    with pytest.raises(ConstraintError, match="no text at all"):
        json_schema(schema)


def test_a_language_that_is_narrower_than_its_schema_says_so() -> None:
    schema = record(a={"type": "string", "maxLength": 5000})
    notes = json_schema(schema).notes
    assert any("at most 256 characters" in note for note in notes)
    assert any("does not speak of" in note for note in notes)
    assert json_schema({**record(a={"type": "null"}), "additionalProperties": False}).notes == ()


def test_what_no_automaton_holds_is_checked_on_the_value() -> None:
    constraint = json_schema({"type": "array", "items": {"type": "integer"}, "uniqueItems": True})
    assert constraint.checked == ("uniqueItems",)
    assert constraint.writes("[1,1]")
    assert not constraint.accepts("[1,1]")
    assert constraint.complaint("[1,1]") == "value: [1, 1] has non-unique elements"


KEYWORDS: list[tuple[Any, list[str], list[str]]] = [
    (True, ['{"a":[1]}', '"x"', "null"], ["nul", ""]),
    ({"enum": ["a", 3, 4], "not": {"not": {"multipleOf": 2}}}, ['"a"', "4"], ["3"]),
    ({"type": "integer", "minimum": -3, "maximum": 12}, ["-3", "0", "12"], ["-4", "13", "1.5"]),
    (
        {"minimum": 0.5, "exclusiveMaximum": 2, "type": "number"},
        ["0.5", "1.99"],
        ["0.49", "2", "2.0"],
    ),
    ({"type": "integer", "multipleOf": 7, "minimum": 1}, ["7", "21", "7000"], ["0", "8"]),
    ({"type": "number", "multipleOf": 0.25}, ["0.25", "3.50", "-1", "2"], ["0.3", "1.1"]),
    ({"type": ["string", "null"], "maxLength": 2}, ['"ab"', "null"], ['"abc"', "1"]),
    ({"type": "string", "not": {"enum": ["a", "b"]}}, ['"c"', '""', '"ab"'], ['"a"', '"b"']),
    (
        {"type": "string", "pattern": "^a", "not": {"pattern": "b$"}},
        ['"a"', '"aba"'],
        ['"ab"', '"c"'],
    ),
    ({"enum": [[1, {"a": 2}], "x"]}, ['[1,{"a":2}]', '"x"'], ["[1]", '[1,{"a":3}]']),
    (
        {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "boolean"}},
        ["[]", "[null]", "[null,true]"],
        ["[true]", "[null,null]"],
    ),
    (
        {"type": "array", "items": {"type": "integer"}, "contains": {"const": 3}, "maxContains": 1},
        ["[3]", "[1,3,2]"],
        ["[]", "[1]", "[3,3]"],
    ),
    (
        {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
        ["{}", '{"a":1}', '{"a":1,"b":2}'],
        ['{"a":"x"}', '{"a":1,"b":2,"c":3}'],
    ),
    (
        {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "additionalProperties": {"type": "integer"},
        },
        ['{"name":"x"}', '{"name":"x","nameplate":1}', '{"n":1}', '{"other":2}'],
        ['{"name":1}', '{"other":"x"}', '{"nam\\u0065":1}'],
    ),
    (
        {
            "type": "object",
            "patternProperties": {"^x-": {"type": "integer"}, "y$": {"type": "null"}},
            "additionalProperties": False,
        },
        ['{"x-a":1}', '{"by":null}', '{"x-a":1,"by":null}'],
        ['{"x-a":null}', '{"z":1}', '{"x-y":1}'],
    ),
    (
        {"type": "object", "propertyNames": {"maxLength": 2}, "additionalProperties": {"const": 1}},
        ['{"ab":1}'],
        ['{"abc":1}'],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
            "dependentRequired": {"a": ["b"]},
            "additionalProperties": False,
        },
        ["{}", '{"b":null}', '{"a":null,"b":null}'],
        ['{"a":null}'],
    ),
    (
        {
            "type": "object",
            "properties": {"kind": {"enum": ["a", "b"]}, "x": {"type": "integer"}},
            "required": ["kind"],
            "if": {"properties": {"kind": {"const": "a"}}},
            "then": {"required": ["x"]},
            "else": {"properties": {"x": False}},
        },
        ['{"kind":"a","x":1}', '{"kind":"b"}'],
        ['{"kind":"a"}', '{"kind":"b","x":1}'],
    ),
    (
        {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 5}]},
        ["-1", "6"],
        ["0", "5", '"x"'],
    ),
    (
        {
            "oneOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
            ]
        },
        ['{"a":1}', '{"b":1}'],
        ["{}", '{"a":1,"b":1}', '{"a":"x"}'],
    ),
    (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"a": {"maxLength": 1}, "b": {"type": "null"}}},
            ]
        },
        ['{"a":"x"}', '{"a":"x","b":null}'],
        ['{"a":"xy"}', '{"b":null}'],
    ),
    (
        {
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                    "required": ["kids"],
                    "additionalProperties": False,
                }
            },
            "$ref": "#/$defs/tree",
        },
        ['{"kids":[]}', '{"kids":[{"kids":[]}]}'],
        ["{}", '{"kids":[{}]}'],
    ),
    (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "array",
            "items": [{"type": "integer", "minimum": 1, "exclusiveMinimum": True}],
            "additionalItems": False,
        },
        ["[2]", "[]"],
        ["[1]", "[2,3]"],
    ),
    (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"s": {"$id": "#short", "type": "string", "maxLength": 1}},
            "$ref": "#short",
            "maxLength": 0,
        },
        ['"a"'],
        ['"ab"'],
    ),
    (
        {
            "type": ["array", "null"],
            "not": {"type": "array", "not": {"type": "string", "format": "date"}},
        },
        ["null"],
        ["[]", "[52]"],
    ),
    (
        {
            "type": "object",
            "allOf": [{"properties": {"a": {"type": "null"}}}],
            "properties": {"b": {"type": "null"}},
            "unevaluatedProperties": False,
        },
        ['{"b":null,"a":null}', "{}"],
        ['{"c":null}'],
    ),
]


@pytest.mark.parametrize(("schema", "written", "refused"), KEYWORDS)
def test_a_keyword_holds_the_canvas_to_what_it_says(
    schema: Any, written: list[str], refused: list[str]
) -> None:
    constraint = json_schema(schema)
    assert [text for text in written if not constraint.accepts(text)] == []
    assert [text for text in written if not constraint.writes(text)] == []
    assert [text for text in refused if constraint.accepts(text)] == []
    assert [text for text in refused if constraint.writes(text)] == []
    rng = random.Random(0)
    for _ in range(20):
        text = random_text(constraint, rng)
        if text is not None:
            assert constraint.accepts(text) or constraint.checked, text
