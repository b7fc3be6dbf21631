"""How sure an answer's values are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gesso.engine import Engine, Message, Request, json_schema, load_engine
from gesso.engine.confidence import confidence_of, scalars
from hypothesis import given
from hypothesis import strategies as st

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


def leaves(value: Any, pointer: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            found: leaf
            for key, inner in value.items()
            for found, leaf in leaves(
                inner, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            ).items()
        }
    if isinstance(value, list):
        return {
            found: leaf
            for number, inner in enumerate(value)
            for found, leaf in leaves(inner, f"{pointer}/{number}").items()
        }
    return {pointer: value}


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_every_scalar_is_found_where_it_stands(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = {pointer: text[start:end] for pointer, start, end in scalars(text)}
    expected = leaves(value)
    assert list(found) == list(expected)
    for pointer, shown in found.items():
        quoted = f'"{shown}' if isinstance(expected[pointer], str) else shown
        assert json.loads(quoted) == expected[pointer]


def test_it_is_the_mean_over_the_tokens_that_touch_the_value() -> None:
    text = '{"a":"xyz","b":null}'
    tokens = ['{"a":"', "x", 'yz"', ',"b":', "null", "}"]
    posteriors = [0.1, 0.5, 0.7, 0.1, 0.9, 0.1]
    found = confidence_of(text, [len(token) for token in tokens], posteriors)
    assert found == pytest.approx({"/a": 0.6, "/b": 0.9})


def test_an_empty_string_is_as_sure_as_its_end() -> None:
    found = confidence_of('{"a":""}', [6, 1, 1], [0.1, 0.4, 0.1])
    assert found == pytest.approx({"/a": 0.4})


def test_bytes_count_not_characters_and_what_stands_before_does_not() -> None:
    text = '["é€",1]'
    sizes = [3, 2, *[len(part.encode()) for part in ("é", "€", '"', ",", "1", "]")]]
    posteriors = [0.0, 1.0, 0.25, 0.75, 0.5, 0.0, 0.125, 0.0]
    assert confidence_of(text, [sizes[0], *sizes[1:]], posteriors) == pytest.approx(
        {"/0": 0.5, "/1": 0.125}
    )


@pytest.fixture(scope="module")
def sketch() -> Engine:
    return load_engine("sketch")


def test_what_stands_in_the_document_is_surer_than_what_does_not(sketch: Engine) -> None:
    schema = json_schema(
        {
            "type": "object",
            "properties": {"total": {"type": "string"}, "carrier": {"type": "string"}},
            "required": ["total", "carrier"],
        }
    )
    text = "GREEN BASKET MARKET\n2026-03-21\n\nMilk 2.00\nTotal 12.50"
    result = sketch.generate(Request([Message("user", text)], constraint=schema, seed=1))
    assert result.value["total"] == "12.50"
    assert set(result.confidence) == {"/total", "/carrier"}
    assert 0 <= result.confidence["/carrier"] < result.confidence["/total"] <= 1
