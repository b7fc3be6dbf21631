"""The tool by which an agent makes a table of documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from ...tools import Context, Kind, Tool, ToolFailedError, tool
from ..errors import AgentError
from .extract import INSTRUCTIONS
from .table import Table, Tables

REASONS = 3
"""Reasons for failed documents that a call tells of."""


def extraction(tables: Tables, model_of: Callable[[str], str]) -> Tool:
    """The tool, for the agents of a project; `model_of` knows an agent's model by its name."""

    @tool(idempotent=True)
    def extract_records(
        documents: Annotated[str, Kind.PATH, Field(description="A document, or a folder of them")],
        fields: Annotated[str, Field(description="Fields of a row: vendor, total: number")],
        output: Annotated[str, Kind.PATH, Field(description="The table: .csv, .jsonl, .sqlite")],
        context: Context,
    ) -> str:
        """Make a row of each document in a table, beside the rows that it has."""
        workspace = context.workspace
        found = [documents]
        if workspace.resolve(documents).is_dir():
            found = [path for path, _, _ in workspace.files(documents)]
        model = model_of(context.agent)
        table = Table(context.agent, model, INSTRUCTIONS, fields, output)
        try:
            rows = tables.add(table, found)
        except AgentError as error:
            raise ToolFailedError(f"extract_records: {error}") from None
        failed = Counter(row.error for row in rows if row.error is not None)
        told = [f"{output}: {len(rows) - failed.total():,} documents read"]
        if failed:
            reasons = "; ".join(f"{n:,} × {why}" for why, n in failed.most_common(REASONS))
            told.append(f"{failed.total():,} failed: {reasons}")
        return ", ".join(told)

    return extract_records
