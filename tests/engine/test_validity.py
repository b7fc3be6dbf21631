"""Random weights under twenty schemas and tool sets: the text is valid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from gesso.engine import Engine, Message, Request, ToolDeclaration, json_schema, load_engine, tools
from jsonschema import Draft202012Validator
from oracle import Shape, save_checkpoint

TEXT = {"type": "string", "maxLength": 20}


def record(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


SCHEMAS: dict[str, dict[str, Any]] = {
    "a flat record": record(["a", "b"], a=TEXT, b={"type": "number"}),
    "all optional": record(a=TEXT, b={"type": "integer"}, c={"type": "null"}),
    "nested": record(["o"], o=record(["x"], x=record(["y"], y={"type": "boolean"}))),
    "an enum": record(["e"], e={"enum": ["low", "high", 3, None, True]}),
    "a constant": record(["c"], c={"const": 'with "quotes" and é'}, d=TEXT),
    "lengths": record(["s"], s={"type": "string", "minLength": 3, "maxLength": 5}),
    "a pattern": record(["p"], p={"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"}),
    "a date": record(["d"], d={"type": "string", "format": "date"}),
    "a date and a time": record(["d"], d={"type": "string", "format": "date-time"}),
    "an e-mail address": record(["m"], m={"type": "string", "format": "email"}),
    "a uuid": record(["u"], u={"type": "string", "format": "uuid"}),
    "a list": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4},
    "a list of records": record(["l"], l={"type": "array", "items": record(["q"], q=TEXT)}),
    "either of two": record(["v"], v={"anyOf": [{"type": "integer"}, record(["w"], w=TEXT)]}),
    "a union of types": record(["t"], t={"type": ["string", "null", "boolean"], "maxLength": 9}),
    "a reference": {
        "$defs": {"money": record(["amount"], amount={"type": "number"})},
        **record(["net", "tax"], net={"$ref": "#/$defs/money"}, tax={"$ref": "#/$defs/money"}),
    },
}
READ = ToolDeclaration("read_file", "Read.", record(["path"], path=TEXT))
SAVE = ToolDeclaration("save", "Save.", SCHEMAS["either of two"])
LIST = ToolDeclaration("list", "List.", SCHEMAS["a list of records"])
STAMP = ToolDeclaration("stamp", "Stamp.", SCHEMAS["a date and a time"])
TOOL_SETS: dict[str, tuple[Sequence[ToolDeclaration], str]] = {
    "one tool": ([READ], "required"),
    "a named tool of two": ([READ, SAVE], "save"),
    "several tools": ([READ, SAVE, LIST, STAMP], "required"),
    "no arguments": ([ToolDeclaration("ping", "Ping.", record())], "required"),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("random")
    save_checkpoint(folder, Shape("random", layers="sf", canvas=32))
    return load_engine(folder)


def is_valid(value: Any, schema: Mapping[str, Any]) -> bool:
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(schema, format_checker=checker).is_valid(value)


def valid_turns(engine: Engine, name: str, seeds: range, *, constrained: bool) -> int:
    """How many of the turns under a schema or tool set are valid by `jsonschema`."""
    ask, valid = (Message("user", name),), 0
    for seed in seeds:
        if name in SCHEMAS:
            constraint = json_schema(SCHEMAS[name])
            request = Request(ask, constraint=constraint, seed=seed, max_tokens=128)
            text = engine.generate(request, constrained=constrained).text
            try:
                valid += is_valid(json.loads(text), SCHEMAS[name])
            except json.JSONDecodeError:
                continue
            continue
        declarations, choice = TOOL_SETS[name]
        request = Request(ask, declarations, tool_choice=choice, seed=seed, max_tokens=128)
        result = engine.generate(request, constrained=constrained)
        schemas = {tool.name: tool.parameters for tool in declarations}
        calls = result.tool_calls
        if not constrained:
            language = tools(declarations, choice=choice)
            calls = language.parse(result.text) if language.accepts(result.text) else ()
        valid += bool(calls) and all(is_valid(one.arguments, schemas[one.name]) for one in calls)
    return valid


@pytest.mark.parametrize("name", [*SCHEMAS, *TOOL_SETS])
def test_every_constrained_turn_is_valid(engine: Engine, name: str) -> None:
    assert valid_turns(engine, name, range(3), constrained=True) == 3


@pytest.mark.slow
def test_a_thousand_turns_are_valid(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    names = [*SCHEMAS, *TOOL_SETS]
    held = sum(valid_turns(engine, name, range(50), constrained=True) for name in names)
    free = sum(valid_turns(engine, name, range(50), constrained=False) for name in names)
    with capsys.disabled():
        print(f"\n{held} of 1000 valid under the constraint, {free} of 1000 without it")
    assert held == 50 * len(names) == 1000
