"""What a person may name as a record's schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gesso.agent import AgentError
from gesso.agent.jobs.schema import read_schema
from gesso.engine import json_schema
from pydantic import BaseModel


class Invoice(BaseModel):
    vendor: str
    total: float | None = None


def test_the_short_form_names_fields_and_their_types() -> None:
    schema = read_schema('vendor "who sells", date: date, total!: number, paid: boolean').schema
    assert schema == {
        "type": "object",
        "properties": {
            "vendor": {"type": ["string", "null"], "description": "who sells"},
            "date": {"type": ["string", "null"], "description": "Date"},
            "total": {"type": "number"},
            "paid": {"type": ["boolean", "null"]},
        },
        "required": ["vendor", "date", "total", "paid"],
    }


def test_the_short_form_nests() -> None:
    schema = read_schema(
        'currency: EUR|USD|"no idea", lines: [{item, price: number}], tags: [text]'
    )
    properties = schema.schema["properties"]
    assert properties["currency"]["enum"] == ["EUR", "USD", "no idea", None]
    assert properties["lines"]["items"]["required"] == ["item", "price"]
    assert properties["tags"] == {"type": "array", "items": {"type": "string"}}
    constraint = json_schema(schema.told)
    value = {"currency": None, "lines": [{"item": "Milk", "price": 2}], "tags": []}
    assert constraint.accepts(json.dumps(value))
    assert not constraint.accepts(json.dumps(value | {"currency": "CHF"}))


def test_one_field_with_a_type_is_no_class() -> None:
    assert list(read_schema("total:number").schema["properties"]) == ["total"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("vendor date", "a comma or the end is expected at character 8 ('date')"),
        ("a: money", "'money' is no type; there are string"),
        ("a, b, a", "a stands there twice at character 7 ('a')"),
        ("a,", "a field's name is expected at the end"),
        ("a: [string", "']' is expected at the end"),
        ("a: {b", "a comma or a brace is expected at the end"),
        ("", "a field's name is expected at the end"),
        ("schemas/none.json", "no such schema file"),
        ("json:nothing", "json has no nothing"),
        ("json:JSONDecoder", "a schema's class is a pydantic model"),
        ("no_such_module:Thing", "No module named"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, what: str) -> None:
    with pytest.raises(AgentError) as caught:
        read_schema(text)
    assert what in str(caught.value)


def test_a_file_is_a_json_schema(tmp_path: Path) -> None:
    file = tmp_path / "invoice.json"
    file.write_text(json.dumps(Invoice.model_json_schema()))
    found = read_schema(file)
    assert (found.name, found.model) == ("invoice", None)
    assert list(found.schema["properties"]) == ["vendor", "total"]
    file.write_text("{")
    with pytest.raises(AgentError, match=r"invoice\.json:1: not JSON"):
        read_schema(str(file))
    file.write_text('{"type": "array"}')
    with pytest.raises(AgentError, match="of type object"):
        read_schema(str(file))


def test_a_class_gives_records_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_schema(Invoice).model is Invoice
    (tmp_path / "shapes_of_mine.py").write_text(
        "from pydantic import BaseModel\nclass Row(BaseModel):\n    name: str\n"
    )
    monkeypatch.chdir(tmp_path)
    found = read_schema("shapes_of_mine:Row")
    assert found.model is not None
    assert (found.name, found.model.__name__) == ("Row", "Row")


def test_how_windows_are_merged_is_not_told_to_the_model() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "x-merge": "first"}},
    }
    assert read_schema(schema).told["properties"]["a"] == {"type": "string"}
    with pytest.raises(AgentError, match="x-merge: 'last' is none of"):
        read_schema({"type": "object", "properties": {"a": {"x-merge": "last"}}})


def test_the_digest_is_of_what_the_schema_says() -> None:
    one, other = read_schema("a, b: number"), read_schema(" a,b : number ")
    assert one.digest == other.digest
    assert one.digest != read_schema("a, b: integer").digest
