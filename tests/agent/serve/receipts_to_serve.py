"""What the clients ask the bundled model for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

RECEIPT = "Customer: Ada Byron\nTotal: 12.50"


class Bill(BaseModel):
    """The record of a bill."""

    customer: str
    total: float


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"customer": {"type": "string"}, "total": {"type": "number"}},
    "required": ["customer", "total"],
    "additionalProperties": False,
}
LONG: dict[str, Any] = {"type": "string", "minLength": 3000}
"""Takes the bundled model minutes to write."""
