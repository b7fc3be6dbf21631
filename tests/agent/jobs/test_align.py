"""Where values stand in a document."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from gesso.agent.jobs.align import NO_WORD, NONE, NOWHERE, align
from gesso.agent.jobs.record import Absent, Span
from hypothesis import given
from hypothesis import strategies as st

RECEIPTS = Path(__file__).parents[4] / "shared" / "data" / "receipts"
RECEIPT = """\
HOLLIS  BAKERY
12 Mill Lane,
Upton
14 March 2026
Milk 2.00
Bread 2.00
Subtotal 1,234.50
Total 1,234.50
"""


def shown(value: Any, text: str = RECEIPT) -> dict[str, str | None]:
    """What stands at each span."""
    return {
        pointer: text[place.start : place.end] if isinstance(place, Span) else None
        for pointer, place in align(value, text).items()
    }


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Upton", "Upton"),
        ("hollis bakery", "HOLLIS  BAKERY"),
        ("12 Mill Lane, Upton", "12 Mill Lane,\nUpton"),
        ("HOLLIS BAKERV", "HOLLIS  BAKERY"),
        (1234.5, "1,234.50"),
        (2, "2.00"),
        ("2026-03-14", "14 March 2026"),
        ("pton", None),
        (34, None),
        ("2026-03-15", None),
    ],
)
def test_a_value_is_found_in_any_of_its_spellings(value: Any, found: str | None) -> None:
    assert shown({"x": value})["/x"] == found


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1234.5, "1.234,50 €"),
        (1234.5, "RM1,234.50"),
        (9, "RM 9.00"),
        (0.5, "0,5"),
        (-12.5, "(12.50)"),
        (-3, "-3"),
        (1234567, "1'234'567"),
    ],
)
def test_a_number_is_found_in_any_country_s_spelling(number: float, text: str) -> None:
    assert isinstance(align({"n": number}, f"a {text} b")["/n"], Span)


def test_a_part_of_a_number_or_a_word_is_not_it() -> None:
    text = "155 12.505 15,5 bread"
    assert align([5, "5", "12.50", "read"], text) == {
        f"/{number}": Absent(NOWHERE) for number in range(4)
    }


def test_of_several_places_the_one_behind_its_label_is_meant() -> None:
    text = "Net 12.50\nTotal due: 12.50\nCash 12.50"
    assert align({"total_due": 12.5}, text)["/total_due"] == Span(21, 26)
    assert align({"cash": 12.5}, text)["/cash"] == Span(32, 37)


def test_the_values_of_an_item_stand_together() -> None:
    lines = [{"item": "Milk", "price": 2}, {"item": "Bread", "price": 2}]
    found = align({"lines": lines}, RECEIPT)
    starts = [place.start for place in found.values() if isinstance(place, Span)]
    assert starts == [RECEIPT.index(part) for part in ("Milk", "2.00\nB", "Bread", "2.00\nS")]


def test_what_stands_nowhere_says_why() -> None:
    assert align({"a": None, "b": True, "c": "zebra crossing"}, RECEIPT) == {
        "/a": Absent(NONE),
        "/b": Absent(NO_WORD),
        "/c": Absent(NOWHERE),
    }


def test_a_place_knows_its_page() -> None:
    found = align({"a": "Upton", "b": "Milk"}, RECEIPT, pages=(0, RECEIPT.index("Milk")))
    assert [place.page for place in found.values() if isinstance(place, Span)] == [1, 2]


@given(
    st.text("abcXYZ é€0123456789.,-/\n", max_size=80),
    st.text("abcXYZé0123456789-/", min_size=1, max_size=12).filter(str.strip),
    st.text("abcXYZ é€0123456789.,-/\n", max_size=80),
)
def test_what_stands_there_as_a_word_is_found(before: str, value: str, after: str) -> None:
    text = f"{before} {value} {after}"
    place = align({"x": value}, text)["/x"]
    assert isinstance(place, Span)
    assert " ".join(text[place.start : place.end].casefold().split()) == value.casefold()


@given(st.text(max_size=60), st.text(max_size=12) | st.floats(allow_nan=False) | st.integers())
def test_a_span_is_inside_of_the_text(text: str, value: Any) -> None:
    place = align([value], text)["/0"]
    if isinstance(place, Span):
        assert 0 <= place.start < place.end <= len(text)


def test_a_long_text_is_searched_in_seconds() -> None:
    text = "lorem ipsum dolor 1,234.50 sit amet 3 May 2021\n" * 20_000
    began = time.process_time()
    align({"a": "nothing of the kind", "b": 7, "c": "2020-01-01"}, text + "7 a")
    assert time.process_time() - began < 30


@pytest.mark.skipif(not RECEIPTS.is_dir(), reason="no real receipts beside the repository")
def test_almost_every_true_value_of_real_receipts_is_found() -> None:
    places = []
    for name, fields in json.loads((RECEIPTS / "truth.json").read_text()).items():
        places += align(fields, (RECEIPTS / f"{name}.txt").read_text()).values()
    found = sum(isinstance(place, Span) for place in places)
    assert found / len(places) > 0.99
