"""The tool that keeps records, made for each agent from its schema."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jsonschema import Draft202012Validator

from .tool import Context, Tool, check_arguments


def save_record(schema: Mapping[str, Any]) -> Tool:
    """The tool that keeps one record of this schema, with the document it came from."""
    validator = Draft202012Validator(schema)

    def run(arguments: Mapping[str, Any], context: Context) -> str:
        check_arguments("save_record", arguments, validator)
        context.store.add_record(
            arguments,
            key=context.key,
            run=context.run,
            agent=context.agent,
            source=context.source,
            at=datetime.now(UTC),
        )
        return "saved"

    return Tool("save_record", "Save the record.", schema, run, idempotent=True)
