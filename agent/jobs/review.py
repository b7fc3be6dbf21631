"""A person goes through what a model read, the least sure first.

What they type is taken as the schema wants it: as text where a text may stand, as JSON where only a
number, a yes or no or a null may, and nothing at all for `null`. A value that the schema does not
allow is not taken. A value that they confirm is a correction too: from then on it is certain.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...engine import json_schema
from ...memory import Job, Reading, Store
from ...tools import Document, DocumentError, DocumentReader
from ..errors import ReviewError
from .align import align
from .chunk import digest_of
from .extract import with_value
from .job import path_of
from .record import Absent, Place, place_json, place_of
from .schema import read_schema


class Review:
    """The readings of one job, beside their documents. `reader` stays the caller's; `state` is the
    folder of the project's state."""

    def __init__(self, store: Store, job: Job, reader: DocumentReader, state: Path) -> None:
        self._store = store
        self._job = job
        self._state = state
        self._reader = reader
        self._constraint = json_schema(read_schema(job.plan.schema).told)
        self._opened: tuple[int, Document] | None = None

    def readings(self, count: int) -> list[Reading]:
        """What no person has seen to yet, the least sure first."""
        return self._store.jobs.readings(self._job.id, count=count)

    def document(self, reading: Reading) -> Document:
        """The document of a reading, as the model read it.

        Raises:
            DocumentError: it cannot be read any more, or says other things now.
        """
        if self._opened is not None and self._opened[0] == reading.number:
            return self._opened[1]
        document = self._reader.read(path_of(self._job, reading.source, self._state))
        if digest_of(document) != self._store.jobs.document(self._job.id, reading.number).digest:
            raise DocumentError("has changed since it was read")
        self._opened = reading.number, document
        return document

    def confirm(self, reading: Reading) -> None:
        """Say that a value is right."""
        self._keep(reading, reading.value)

    def correct(self, reading: Reading, typed: str) -> Any:
        """Say what a value is; returns it.

        Raises:
            ReviewError: the schema allows no such value there.
        """
        complaint = ""
        for value in _meant(typed):
            record = self._record(reading.number)
            written = json.dumps(with_value(record, reading.pointer, value), ensure_ascii=False)
            found = self._constraint.complaint(written)
            if found is None:
                self._keep(reading, value)
                return value
            complaint = complaint or found
        raise ReviewError(f"{reading.pointer}: {complaint}")

    def undo(self, reading: Reading) -> None:
        """Take a confirmation or a correction back."""
        self._store.jobs.withdraw(self._job.id, reading.number, reading.pointer)

    def _record(self, number: int) -> Any:
        """A document's record by now."""
        record = self._store.jobs.document(self._job.id, number).value
        for correction in self._store.jobs.corrections(self._job.id, number, number):
            record = with_value(record, correction.pointer, correction.value)
        return record

    def _keep(self, reading: Reading, value: Any) -> None:
        self._store.jobs.correct(
            self._job.id,
            reading.number,
            reading.pointer,
            value,
            span=self._place(reading, value),
            at=datetime.now(UTC),
        )

    def _place(self, reading: Reading, value: Any) -> dict[str, Any] | None:
        if value == reading.value:
            return None if reading.span is None else dict(reading.span)
        try:
            document = self.document(reading)
        except DocumentError:
            return None
        record = with_value(self._record(reading.number), reading.pointer, value)
        place = align(record, document.text, document.pages)[reading.pointer]
        return place_json(place)


def span_of(reading: Reading) -> Place:
    """Where a reading stands in its document."""
    if reading.span is None:
        return Absent("the job did not look for it")
    return place_of(reading.span)


def typed_as(value: Any) -> str:
    """A value as a person would type it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _meant(typed: str) -> list[Any]:
    """What typed text may mean, the likeliest first."""
    if not typed.strip():
        return [None, typed]
    try:
        return [typed, json.loads(typed)]
    except ValueError:
        return [typed]
