"""One result of a job: what a document says, where it says so, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar


@dataclass(frozen=True)
class Span:
    """Characters of a document's text, `end` behind the last; `page` counts from 1 where the
    document has pages."""

    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True)
class Absent:
    """A value that stands nowhere in the document, and why that is."""

    reason: str


Place = Span | Absent

Value = TypeVar("Value")


@dataclass(frozen=True)
class Record(Generic[Value]):
    """What one document gave. `value` is the record (of the model's class, where the schema is
    one), `spans` where each scalar of it stands, `confidence` how sure it is, in [0, 1], both by
    JSON pointer. Where the document failed, `value` is `None` and `error` says why."""

    source: str
    value: Value | None = None
    spans: Mapping[str, Place] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None

    def row(self) -> dict[str, Any]:
        """As a line of output."""
        return {
            "source": self.source,
            "value": self.value,
            "spans": {pointer: place_json(place) for pointer, place in self.spans.items()},
            "confidence": dict(self.confidence),
            "error": self.error,
        }


def place_json(place: Place) -> dict[str, Any]:
    if isinstance(place, Absent):
        return {"absent": place.reason}
    return {"start": place.start, "end": place.end, "page": place.page}


def place_of(row: Mapping[str, Any]) -> Place:
    """What `place_json` wrote."""
    return Absent(row["absent"]) if "absent" in row else Span(**row)
