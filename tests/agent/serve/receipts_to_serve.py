"""What the clients ask the bundled model for, and how a server of it is started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

Start = Callable[..., str]
"""Starts a server with limits of its own; its address."""

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
