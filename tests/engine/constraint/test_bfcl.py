"""The tool declarations and calls of the Berkeley Function-Calling Leaderboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from gesso.engine.benchmarks.bfcl import json_schema_of, read_questions, try_question

FOLDER = Path(__file__).parents[3] / "../shared/data/bfcl"
FILES = sorted(FOLDER.glob("*.jsonl"))


def test_a_spelling_of_a_type_is_translated_and_a_parameter_that_has_its_name_is_not() -> None:
    declared = {
        "type": "dict",
        "properties": {
            "type": {"type": "String", "description": "kind", "default": "any"},
            "sizes": {"type": "tuple", "items": {"type": "float"}},
            "free": {"type": "any"},
        },
        "required": ["type"],
    }
    assert json_schema_of(declared) == {
        "type": "object",
        "properties": {
            "type": {"type": "string", "description": "kind", "default": "any"},
            "sizes": {"type": "array", "items": {"type": "number"}},
            "free": {},
        },
        "required": ["type"],
    }
    with pytest.raises(ValueError, match="'colour'"):
        json_schema_of({"type": "colour"})


@pytest.mark.skipif(not FILES, reason=f"the data are not there: {FOLDER}")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_declaration_compiles_and_every_valid_call_is_accepted(file: Path) -> None:
    outcomes = [outcome for question in read_questions(file) for outcome in try_question(question)]
    assert outcomes
    assert not [outcome for outcome in outcomes if outcome.refusal and not outcome.rightly]
