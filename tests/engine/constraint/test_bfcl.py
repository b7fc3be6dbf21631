"""The tool declarations and calls of the Berkeley Function-Calling Leaderboard."""

from __future__ import annotations

import pytest
from gesso.engine.benchmarks.bfcl import json_schema_of


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
