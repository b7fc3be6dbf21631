"""What the store gives back: frozen data, one class a table. Times are timezone-aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

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
    """One thing remembered: who or what said it, and when."""

    id: int
    text: str
    source: str
    at: datetime
