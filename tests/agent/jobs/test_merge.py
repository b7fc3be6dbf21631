"""What the windows of a document say, as one value."""

from __future__ import annotations

from typing import Any

import pytest
from gesso.agent.jobs.merge import Part, merge
from hypothesis import given
from hypothesis import strategies as st

SCHEMA = {
    "type": "object",
    "properties": {
        "vendor": {"type": "string"},
        "date": {"type": "string", "x-merge": "first"},
        "note": {"type": "string", "x-merge": "longest"},
        "lines": {"type": "array", "items": {"type": "object"}},
        "best": {"type": "array", "x-merge": "confident"},
    },
}


def part(sure: dict[str, float] | None = None, **value: Any) -> Part:
    return Part(value, sure or {})


def test_each_field_is_taken_as_its_schema_says() -> None:
    value, confidence = merge(
        [
            part({"/vendor": 0.4, "/date": 0.5, "/note": 0.9}, vendor="A", date=None, note="a"),
            part({"/vendor": 0.8, "/date": 0.6, "/note": 0.1}, vendor="B", date="d1", note="abc"),
            part({"/vendor": 0.7, "/date": 0.9, "/note": 0.5}, vendor="C", date="d2", note="ab"),
        ],
        SCHEMA,
    )
    assert value == {"vendor": "B", "date": "d1", "note": "abc"}
    assert confidence == {"/vendor": 0.8, "/date": 0.6, "/note": 0.1}


def test_lists_are_appended_without_what_two_windows_showed() -> None:
    first = part({"/lines/0/n": 0.1, "/lines/1/n": 0.2}, lines=[{"n": 1}, {"n": 2}])
    second = part({"/lines/0/n": 0.9, "/lines/1/n": 0.3}, lines=[{"n": 2}, {"n": 3}])
    value, confidence = merge([first, second], SCHEMA)
    assert value == {"lines": [{"n": 1}, {"n": 2}, {"n": 3}]}
    assert confidence == {"/lines/0/n": 0.1, "/lines/1/n": 0.2, "/lines/2/n": 0.3}


def test_a_list_may_be_taken_whole() -> None:
    value, _ = merge([part({"/best/0": 0.2}, best=[1]), part({"/best/0": 0.6}, best=[2])], SCHEMA)
    assert value == {"best": [2]}


def test_null_gives_way_to_whatever_is_said() -> None:
    value, _ = merge([part({"/vendor": 0.99}, vendor=None), part({"/vendor": 0.1}, vendor="A")], {})
    assert value == {"vendor": "A"}


def test_the_default_policy_is_of_fields_that_name_none() -> None:
    parts = [part({"/a": 0.1, "/b": 0.1}, a="x", b=[1]), part({"/a": 0.9, "/b": 0.9}, a="y", b=[2])]
    assert merge(parts, {}, "first")[0] == {"a": "x", "b": [1]}
    assert merge(parts, {})[0] == {"a": "y", "b": [1, 2]}


def test_objects_are_merged_member_by_member_in_the_schema_s_order() -> None:
    schema = {"properties": {"who": {"properties": {"name": {}, "town": {}}}}}
    value, confidence = merge(
        [
            part({"/who/name": 0.9, "/who/town": 0.1}, who={"name": "A", "town": "X"}),
            part({"/who/town": 0.8, "/who/name": 0.2}, who={"town": "Y", "name": "B"}),
        ],
        schema,
    )
    assert list(value["who"].items()) == [("name", "A"), ("town", "Y")]
    assert confidence == {"/who/name": 0.9, "/who/town": 0.8}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), VALUES, max_size=3))
def test_one_part_is_what_it_is(value: dict[str, Any]) -> None:
    assert merge([Part(value, {})], {})[0] == value


@given(
    st.dictionaries(st.sampled_from("ab"), st.integers(), min_size=1),
    st.sampled_from([None, "first", "longest", "confident", "append"]),
)
def test_the_same_part_twice_is_that_part(value: dict[str, Any], policy: Any) -> None:
    sure = {f"/{name}": 0.5 for name in value}
    assert merge([Part(value, sure)] * 2, {}, policy) == (value, sure)


def test_ties_go_to_the_earlier_window() -> None:
    parts = [part({"/a": 0.5}, a="first"), part({"/a": 0.5}, a="later")]
    assert merge(parts, {})[0] == merge(parts, {}, "confident")[0] == {"a": "first"}


@pytest.mark.parametrize("policy", ["first", "longest", "confident"])
def test_nothing_said_is_null(policy: Any) -> None:
    parts = [part({"/a": 0.3}, a=None), part({"/a": 0.7}, a=None)]
    assert merge(parts, {}, policy)[0] == {"a": None}
