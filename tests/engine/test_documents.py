"""The synthetic documents and requests that the bundled model is trained on."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from gesso.engine import json_schema, tools
from gesso.engine.training.documents import example
from gesso.engine.training.lexicon import QUALIFIERS, Split, share
from gesso.engine.training.requests import ask
from gesso.engine.training.tasks import KINDS, Kind, native_call, turn
from gesso.engine.training.words import SYLLABLES
from jsonschema import Draft202012Validator

SPLITS: tuple[Split, ...] = ("train", "heldout")


@pytest.mark.parametrize("kind", list(KINDS))
def test_turns_repeat_with_their_seed(kind: Kind) -> None:
    for seed in range(40):
        for split in SPLITS:
            drawn = turn(random.Random(seed), split, kind)
            assert drawn == turn(random.Random(seed), split, kind)


@pytest.mark.parametrize("kind", ["receipt", "form"])
def test_every_text_of_a_record_stands_in_its_document(kind: str) -> None:
    for seed in range(300):
        drawn = example(random.Random(seed), SPLITS[seed % 2], kind)
        document = _joined(drawn.document).replace('\\"', '"')
        for value in _leaves(drawn.values):
            if isinstance(value, str):
                assert _joined(value) in document
            elif isinstance(value, Decimal):
                assert str(value) in document.replace(",", "")


def test_every_record_is_valid_for_its_schema() -> None:
    for seed in range(300):
        drawn = example(random.Random(seed), SPLITS[seed % 2])
        Draft202012Validator(drawn.schema).validate(drawn.record)


def test_answers_are_words_of_the_constraint_that_asks_for_them() -> None:
    rng = random.Random(3)
    for _ in range(25):
        record, request = turn(rng, "train", "record"), turn(rng, "train", "request")
        for drawn in (record, request):
            if drawn.calls:
                language = tools(drawn.request.tools, choice="required")
                assert language.accepts(drawn.answer.removesuffix("<|tool_response>"))
        filled = turn(rng, "train", "json")
        assert filled.schema is not None
        assert json_schema(filled.schema).accepts(filled.answer.removesuffix("<turn|>"))


def test_a_receipt_pays_what_its_sums_say() -> None:
    """The total is the last sum: every receipt shows it, and change and cash agree with it."""
    seen = 0
    for seed in range(600):
        drawn = example(random.Random(seed), "train", "receipt")
        asked = {noun: entry for name, entry in drawn.asked for noun in [name]}
        if {"cash", "change"} <= asked.keys() and "total" in asked:
            amounts = {
                name: Decimal(asked[name].value.replace(",", ""))
                for name in ("cash", "change", "total")
            }
            assert amounts["cash"] - amounts["change"] == amounts["total"]
            seen += 1
    assert seen


def test_fields_that_a_document_lacks_are_null_or_left_out() -> None:
    drawn = [example(random.Random(seed), "train") for seed in range(400)]
    nulls = [one for one in drawn if None in one.values.values()]
    left_out = [one for one in drawn if one.schema["properties"].keys() - one.values.keys()]
    assert len(nulls) > 20
    assert len(left_out) > 10


def test_one_tool_fits_a_request_or_two_or_none() -> None:
    drawn = [ask(random.Random(seed), "heldout") for seed in range(300)]
    assert {len(one.calls) for one in drawn} == {0, 1, 2}
    assert max(len(one.tools) for one in drawn) >= 6
    for one in drawn:
        assert {name for name, _ in one.calls} <= {tool.name for tool in one.tools}
        assert len({tool.name for tool in one.tools}) == len(one.tools)


def test_numbers_of_a_call_keep_their_digits() -> None:
    written = native_call("pay", {"total": Decimal("11.30"), "B": None, "a": [True, "x"]})
    assert written == '<|tool_call>call:pay{a:[true,<|"|>x<|"|>],B:null,total:11.30}<tool_call|>'


def test_held_out_words_and_syllables_are_never_trained_on() -> None:
    assert not set(SYLLABLES["train"]) & set(SYLLABLES["heldout"])
    assert not set(share(QUALIFIERS, "train")) & set(share(QUALIFIERS, "heldout"))
    assert 0.15 < len(share(QUALIFIERS, "heldout")) / len(QUALIFIERS) < 0.25


def _joined(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
