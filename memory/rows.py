"""What the store gives back: frozen data, one class a table. Times are timezone-aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Row

RunState = Literal["queued", "running", "done", "stopped", "failed"]


@dataclass(frozen=True)
class Run:
    """One execution of an agent.

    `stopped` means that a budget or the repeated-call breaker ended it, `failed` that something
    broke; `reason` then says what.
    """

    id: str
    agent: str
    trigger: str
    input: str
    state: RunState
    model: str
    queued: datetime
    started: datetime | None = None
    ended: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class StoredMessage:
    """One message of a run's conversation; `tool_calls` are `{"name", "arguments"}` objects."""

    position: int
    role: str
    content: str
    tool_calls: Sequence[Mapping[str, Any]] = ()
    name: str | None = None


@dataclass(frozen=True)
class Record:
    """One thing that an agent saved, with the document it came from."""

    key: str
    run: str
    agent: str
    source: str | None
    data: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True)
class LedgerEntry:
    """What one turn took. `prompt_tokens` includes `cached_tokens`."""

    key: str
    run: str
    agent: str
    model: str
    device: str
    at: datetime
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    canvases: int
    denoising_steps: int
    prefill_seconds: float
    denoising_seconds: float


@dataclass(frozen=True)
class Fact:
    """One thing remembered: who or what said it, and when.

    `agent` is whose it is, `None` when every agent's. The facts of one `episode` (a conversation, a
    document) stand together, in the order of their times. A fact is *current* until a newer one
    supersedes it, or it is forgotten; the text of one that was erased is empty. `uses` counts how
    often it was given to an agent, `used` is the last time.
    """

    id: int
    text: str
    source: str
    at: datetime
    agent: str | None = None
    episode: str | None = None
    superseded_by: int | None = None
    forgotten: datetime | None = None
    uses: int = 0
    used: datetime | None = None

    @property
    def current(self) -> bool:
        return self.superseded_by is None and self.forgotten is None


@dataclass(frozen=True)
class Block:
    """A text that is always in the prompt: of one agent, or of all where `agent` is `None`.

    `value` has at most `bound` characters; `changed` is when it was last edited.
    """

    label: str
    description: str
    value: str
    bound: int
    changed: datetime
    agent: str | None = None


def fact_of(row: Row[Any]) -> Fact:
    """The fact of a row of the table of facts."""
    return Fact(
        row.id,
        row.text,
        row.source,
        time_of(row.at),
        agent=row.agent or None,
        episode=row.episode or None,
        superseded_by=row.superseded_by,
        forgotten=None if row.forgotten is None else time_of(row.forgotten),
        uses=row.uses,
        used=None if row.used is None else time_of(row.used),
    )


def time_of(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
