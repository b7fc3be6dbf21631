"""How an API speaks: how its requests are read, and how answers, streams and refusals are told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...engine import Result, Usage
from .fields import Api
from .reading import Asked
from .refusal import Refusal


class Telling(Protocol):
    """An answer as it is streamed: pieces of `text/event-stream`."""

    def begin(self, prompt_tokens: int) -> Iterator[str]:
        """Before anything is written."""
        ...

    def text(self, delta: str) -> Iterator[str]:
        """What a commit added to the text, which is never taken back."""
        ...

    def end(self, result: Result) -> Iterator[str]:
        """The calls, why it ended, and the usage."""
        ...

    def fail(self, refusal: Refusal) -> Iterator[str]:
        """It cannot be ended."""
        ...


@dataclass(frozen=True)
class Dialect:
    """One API. `read` is given the request's fields and the most tokens of an answer, and raises
    `Refusal`; `schema`, `messages` and `tokens` are what it calls these fields, to lay blame."""

    api: Api
    read: Callable[[Mapping[str, Any], int], Asked]
    answer: Callable[[Asked, Result], dict[str, Any]]
    telling: Callable[[Asked], Telling]
    problem: Callable[[Refusal], dict[str, Any]]
    schema: str
    messages: str
    tokens: str


def event(data: Mapping[str, Any], name: str | None = None) -> str:
    """One event of a stream (WHATWG HTML, *Server-sent events*)."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def fresh(prefix: str) -> str:
    """A new name for an answer, or for a part of one."""
    return f"{prefix}_{uuid.uuid4().hex}"


def counts(usage: Usage) -> dict[str, Any]:
    """What an API's own usage has no place for."""
    return {
        "canvases": usage.canvases,
        "denoising_steps": usage.denoising_steps,
        "prefill_seconds": usage.prefill_seconds,
        "denoising_seconds": usage.denoising_seconds,
        "joules": usage.joules,
        "energy": usage.energy,
    }


def openai_problem(refusal: Refusal) -> dict[str, Any]:
    """A refusal as OpenAI's APIs tell it."""
    kinds = {"key": "authentication_error", "busy": "rate_limit_error"}
    other = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": refusal.what,
            "type": kinds.get(refusal.kind, other),
            "param": refusal.param,
            "code": refusal.code,
        }
    }
