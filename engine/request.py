"""What goes into the engine and what comes out of it: plain frozen data, no behaviour.

A `Request` is one turn: the conversation so far, the tools that may be called, an optional
constraint. A `Result` is the turn that the model wrote. Between the two, whoever watches sees
`Draft`s (one a denoising step) and `Commit`s (one a canvas).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .constraint import Constraint

Role = Literal["system", "user", "assistant", "tool"]
Priority = Literal["high", "normal", "low"]
EnergySource = Literal["measured", "estimated", "unknown"]


@dataclass(frozen=True)
class ToolDeclaration:
    """A tool as the model is told of it; `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """One call that the model wrote; `arguments` is valid against the tool's schema."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    An assistant message may carry `tool_calls`; a tool message carries the result as its
    `content` and the tool's name as `name`.
    """

    role: Role
    content: str = ""
    tool_calls: Sequence[ToolCall] = ()
    name: str | None = None


@dataclass(frozen=True)
class Request:
    """One turn to be written.

    `tool_choice` is `"auto"` (text, calls, or calls behind a text), `"required"`, `"none"` or the
    name of one tool; a turn makes at most `most_calls` calls. `constraint` holds the answer's text
    to a language; it is not mixed with tools. `seed` makes the turn repeatable; `max_tokens` bounds
    the answer (default: as many canvases as the context holds). With `thinking`, a model whose
    template has a channel for it thinks before it answers.

    Where others ask too, a higher `priority` goes first, and of several `owner`s each has its fair
    share (`scheduler.py`).
    """

    messages: Sequence[Message]
    tools: Sequence[ToolDeclaration] = ()
    tool_choice: str = "auto"
    constraint: Constraint | None = None
    seed: int | None = None
    max_tokens: int | None = None
    thinking: bool = False
    most_calls: int | None = None
    owner: str = ""
    priority: Priority = "normal"


@dataclass(frozen=True)
class Usage:
    """What a turn took: token counts, canvases, denoising steps, and seconds of each pass.

    `cached_tokens` of the prompt were not encoded anew. The seconds of turns that were written side
    by side add up to the time that all of them took, and their `joules` to what was drawn; `energy`
    says how those are known (`energy.py`), and they are `None` where they are not.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    canvases: int = 0
    denoising_steps: int = 0
    prefill_seconds: float = 0.0
    denoising_seconds: float = 0.0
    joules: float | None = None
    energy: EnergySource = "unknown"


@dataclass(frozen=True)
class Draft:
    """The canvas as it reads after one denoising step; under a constraint, always a valid word.

    The first `known` of its tokens are settled. `sure` is how probable each token was in its place,
    1 for what is certain under the constraint.
    """

    canvas: int
    step: int
    tokens: Sequence[int]
    text: str
    known: int = 0
    sure: Sequence[float] = ()


@dataclass(frozen=True)
class Commit:
    """A finished canvas, cut at its end-of-turn token; `sure` as in a `Draft`."""

    canvas: int
    tokens: Sequence[int]
    text: str
    sure: Sequence[float] = ()


@dataclass(frozen=True)
class Result:
    """The finished turn.

    `text` is the answer without its thought and calls. `value` is the parsed answer when a
    constraint was asked for. `finish_reason` is `"stop"`
    (the model ended its turn), `"tool_calls"`, or `"length"` (the budget ended it). `confidence`
    says of each scalar of an answer under a JSON Schema, by its JSON pointer, how sure the model
    was: the mean of its tokens' posteriors, from 0 to 1.
    """

    text: str
    value: Any = None
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage = field(default_factory=Usage)
    finish_reason: Literal["stop", "tool_calls", "length"] = "stop"
    thought: str = ""
    confidence: Mapping[str, float] = field(default_factory=dict)
