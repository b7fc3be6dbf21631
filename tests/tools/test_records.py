"""The tool that keeps records."""

from typing import Any

import pytest
from gesso.tools import ArgumentError, Context, Registry, Tool

SCHEMA = {
    "type": "object",
    "properties": {"company": {"type": "string"}, "total": {"type": "number"}},
    "required": ["company", "total"],
    "additionalProperties": False,
}


def save_record() -> Tool:
    (chosen,) = Registry().select(["save_record"], record=SCHEMA)
    return chosen


def test_a_record_is_kept_once_with_its_document(context: Context) -> None:
    save = save_record()
    assert save.parameters == SCHEMA
    for _ in range(2):
        assert save.call({"company": "Brandt", "total": 3}, context) == "saved"
    (record,) = context.store.records()
    assert record.data == {"company": "Brandt", "total": 3}
    assert (record.source, record.run, record.agent) == ("inbox/a.txt", "r1", "clerk")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"company": "Brandt"}, "save_record: arguments: 'total' is a required property"),
        ({"company": "B", "total": "3"}, "save_record: total: '3' is not of type 'number'"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    context: Context, arguments: dict[str, Any], line: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        save_record().call(arguments, context)
    assert str(caught.value) == line
    assert context.store.records() == []
