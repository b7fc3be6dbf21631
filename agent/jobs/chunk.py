"""One chunk of a job: documents that were opened become rows, and what those cost.

A chunk is the same documents in the same order whenever it is carried out, so what a kill kept from
the store is written again as it would have been. Whatever is wrong with one document is that
document's row; anything else is raised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from ...engine import (
    AnswerError,
    AnyEngine,
    EngineError,
    Message,
    Request,
    Result,
    ServerError,
    Usage,
    json_schema,
)
from ...memory import Extraction, Job, JobDocument, LedgerEntry, Store
from ...tools import Document
from .align import align
from .merge import Part, Policy, merge
from .record import place_json
from .schema import read_schema
from .windows import windows

FORM = 1
"""Raise it when the same document would be asked for in another way: what is kept is then not used
any more."""
DIGITS = 4
"""Of a confidence. What it has beyond them is the noise of how a batch was put together."""
LONGEST_ANSWER = 1024
"""Tokens of the context that are kept free for the answer, where it has four times as many."""
SHORTEST_BOUND = 64
"""Tokens that an answer may have beside as many as its prompt."""


@dataclass(frozen=True)
class Opened:
    """A document that waits, as it was read: itself, or why it cannot be read."""

    row: JobDocument
    document: Document | None
    error: str | None = None


@dataclass(frozen=True)
class Chunk:
    """How a chunk's documents ended, in their order; what can be used again; what it cost."""

    documents: Sequence[JobDocument] = ()
    extracted: Sequence[Extraction] = ()
    entries: Sequence[LedgerEntry] = ()


@dataclass
class _Text:
    """A text that is to be read by the model, once, for the documents that have it."""

    row: JobDocument
    key: str
    requests: Sequence[Request] = ()
    results: list[Result] = field(default_factory=list)
    error: str | None = None
    found: Extraction | None = None


class Extractor:
    """Reads the documents of one job."""

    def __init__(self, engine: AnyEngine, store: Store, job: Job) -> None:
        self._engine = engine
        self._store = store
        self._run = job.run
        self._plan = job.plan
        self._schema = read_schema(job.plan.schema)
        self._constraint = json_schema(self._schema.told)

    def extract(self, opened: Sequence[Opened]) -> Chunk:
        """Read what was opened; whatever can be used again is not paid for."""
        keys = {
            one.row.number: self._key(one.document) for one in opened if one.document is not None
        }
        known = self._store.jobs.extracted(list(keys.values())) if self._plan.cache else {}
        texts = dict[str, _Text]()
        for one in opened:
            if one.document is not None and (key := keys[one.row.number]) not in known:
                # Without the cache every document is read, also one that is there twice.
                name = key if self._plan.cache else f"{key}/{one.row.number}"
                if name not in texts:
                    texts[name] = self._text(one, key)
        entries = self._generate(texts.values())
        for text in texts.values():
            self._finish(text)
        rows = []
        for one in opened:
            if one.document is None:
                rows.append(replace(one.row, state="failed", error=one.error))
                continue
            key = keys[one.row.number]
            text = texts.get(key) or texts.get(f"{key}/{one.row.number}")
            paid = text is not None and text.row is one.row
            rows.append(self._row(one.row, one.document, known.get(key), text, paid=paid))
        extracted = [text.found for text in texts.values() if text.found is not None]
        return Chunk(rows, extracted, entries)

    def _key(self, document: Document) -> str:
        """What a record depends on, as one name."""
        plan = self._plan
        parts = [FORM, digest_of(document), plan.schema_digest, plan.model, plan.weights]
        parts += [plan.instructions, plan.seed, plan.merge]
        return _sha256(json.dumps(parts))

    def _text(self, one: Opened, key: str) -> _Text:
        assert one.document is not None
        text = _Text(one.row, key)
        try:
            found = windows(one.document.text, self._length, self._longest)
            text.requests = [
                self._bounded(
                    self._request(window.text, self._seed(one.document, one.row.tries, number))
                )
                for number, window in enumerate(found)
            ]
        except EngineError as error:
            text.error = str(error)
        except ValueError as error:
            text.error = f"the schema leaves no room for a document: {error}"
        return text

    def _request(self, text: str, seed: int | None = None) -> Request:
        messages = [Message("system", self._plan.instructions), Message("user", text)]
        return Request(
            messages,
            constraint=self._constraint,
            seed=seed,
            owner=self._run.agent,
            priority="low",  # what somebody waits for goes first
        )

    def _bounded(self, request: Request) -> Request:
        """What is copied from a document is not much longer than it is: an answer that is goes
        round in circles."""
        most = self._engine.prompt_tokens(request) + SHORTEST_BOUND
        return replace(request, max_tokens=min(most, self._free))

    def _length(self, text: str) -> int:
        return self._engine.prompt_tokens(self._request(text))

    @property
    def _longest(self) -> int:
        """Tokens of a prompt that leave room for what the document is to become."""
        return self._engine.context_length - self._free

    @property
    def _free(self) -> int:
        """Tokens of the context that are kept for the answer."""
        return min(LONGEST_ANSWER, self._engine.context_length // 4)

    def _seed(self, document: Document, tries: int, window: int) -> int:
        """A document's own seed: the same in any job, and another one when it is tried again."""
        parts = f"{self._plan.seed}/{digest_of(document)}/{tries}/{window}"
        return int(_sha256(parts)[:8], 16)

    def _generate(self, texts: Iterable[_Text]) -> list[LedgerEntry]:
        """Have every window of the chunk read, a batch at a time; what each generation took."""
        asked = [
            (text, number, request)
            for text in texts
            for number, request in enumerate(text.requests)
        ]
        entries = []
        for first in range(0, len(asked), self._plan.batch):
            batch = asked[first : first + self._plan.batch]
            answers = self._engine.generate_batch([request for _, _, request in batch])
            for (text, number, _), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Result):
                    text.results.append(answer)
                    entries.append(self._entry(text.row, number, answer.usage))
                    continue
                text.error = text.error or str(answer)
                if isinstance(answer, AnswerError | ServerError):
                    entries.append(self._entry(text.row, number, answer.usage))
        return entries

    def _entry(self, row: JobDocument, window: int, usage: Usage) -> LedgerEntry:
        again = f"/{row.tries}" if row.tries else ""
        return LedgerEntry(
            key=f"{self._run.id}/{row.number}/{window}{again}",
            run=self._run.id,
            agent=self._run.agent,
            model=self._engine.name,
            device=self._engine.device,
            at=datetime.now(UTC),
            **asdict(usage),
        )

    def _finish(self, text: _Text) -> None:
        """Make one record of what was read in a text's windows."""
        if text.error is not None:
            return
        for request, result in zip(text.requests, text.results, strict=True):
            # Held to its constraint, a turn ends in time; it is its last value that is cut.
            if result.usage.output_tokens + 1 >= (request.max_tokens or 0):
                text.error = f"the answer found no end within {request.max_tokens} tokens"
                return
        parts = [Part(result.value, result.confidence) for result in text.results]
        value, confidence = merge(parts, self._plan.schema, cast(Policy | None, self._plan.merge))
        written = json.dumps(value, ensure_ascii=False)
        if len(parts) > 1 and (complaint := self._constraint.complaint(written)):
            text.error = f"what its {len(parts)} windows say does not fit together: {complaint}"
            return
        sure = {pointer: round(one, DIGITS) for pointer, one in confidence.items()}
        text.found = Extraction(text.key, value, sure)

    def _row(
        self,
        row: JobDocument,
        document: Document,
        known: Extraction | None,
        text: _Text | None,
        *,
        paid: bool,
    ) -> JobDocument:
        row = replace(row, digest=digest_of(document))
        found = known if text is None else text.found
        if found is None:
            assert text is not None
            return replace(row, state="failed", error=text.error)
        return replace(
            row,
            state="done",
            value=found.value,
            spans=_spans(found.value, document),
            confidence=found.confidence,
            cached=not paid,
        )


def digest_of(document: Document) -> str:
    """The name of a document's text."""
    return _sha256(document.text)


def _spans(value: Any, document: Document) -> Mapping[str, Any]:
    """Where every scalar of a record stands in its document, or why it does not."""
    found = align(value, document.text, document.pages)
    return {pointer: place_json(place) for pointer, place in found.items()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
