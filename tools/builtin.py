"""The tools that every agent may name: reading the workspace, and saving a record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from jsonschema import Draft202012Validator
from pydantic import Field

from .errors import ArgumentError
from .tool import Context, Tool, tool


@tool
def read_file(path: Annotated[str, Field(description="Path of the file")], context: Context) -> str:
    """Read a text file."""
    return context.workspace.read(path)


@tool
def list_files(
    folder: Annotated[str, Field(description="Path of the folder")], context: Context
) -> str:
    """List the files of a folder."""
    return "\n".join(context.workspace.list(folder))


def save_record(schema: Mapping[str, Any]) -> Tool:
    """The tool that keeps one record of this schema, with the document it came from."""
    validator = Draft202012Validator(schema)

    def run(arguments: Mapping[str, Any], context: Context) -> str:
        complaint = next(iter(validator.iter_errors(arguments)), None)
        if complaint is not None:
            where = ".".join(str(part) for part in complaint.absolute_path) or "arguments"
            raise ArgumentError(f"save_record: {where}: {complaint.message}")
        context.store.add_record(
            arguments,
            key=context.key,
            run=context.run,
            agent=context.agent,
            source=context.source,
            at=datetime.now(UTC),
        )
        return "saved"

    return Tool("save_record", "Save the record.", schema, run)
