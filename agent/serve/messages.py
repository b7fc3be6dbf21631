"""Anthropic's messages (`POST /v1/messages`, `POST /v1/messages/count_tokens`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ...engine import Image, Message, Result, ToolCall, ToolDeclaration, Usage, with_parts
from . import reading
from .dialect import Dialect, counts, event, fresh
from .fields import understood
from .reading import Asked, Part, Tokens, texts
from .refusal import Kind, Refusal, wrong

REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
KINDS: Mapping[Kind, str] = {
    "key": "authentication_error",
    "missing": "not_found_error",
    "large": "request_too_large",
    "busy": "rate_limit_error",
    "closing": "overloaded_error",
    "broken": "api_error",
}


class _Cached(Part):
    """A prefix is kept whether it is marked or not."""

    cache_control: dict[str, Any] | None = None


class Text(_Cached):
    type: Literal["text"]
    text: str
    citations: Annotated[tuple[Any, ...], Field(max_length=0)] = ()


class ToolUse(_Cached):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    caller: dict[str, Any] | None = None


class Source(Part):
    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class ImageBlock(_Cached):
    type: Literal["image"]
    source: Source


Texts = Annotated[tuple[Text, ...], texts("text")]
Shown = Annotated[Text | ImageBlock, Field(discriminator="type")]


class ToolResult(_Cached):
    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[tuple[Shown, ...], texts("text")] = ()
    is_error: bool = False


UserBlock = Annotated[Text | ImageBlock | ToolResult, Field(discriminator="type")]
AssistantBlock = Annotated[Text | ToolUse, Field(discriminator="type")]


class User(Part):
    role: Literal["user"]
    content: Annotated[tuple[UserBlock, ...], texts("text")]


class Assistant(Part):
    role: Literal["assistant"]
    content: Annotated[tuple[AssistantBlock, ...], texts("text")]


Turn = Annotated[User | Assistant, Field(discriminator="role")]


class Tool(_Cached):
    type: Literal["custom"] = "custom"
    name: str
    description: str = ""
    input_schema: dict[str, Any]
    strict: bool = True
    eager_input_streaming: bool = False


class Choice(Part):
    type: Literal["auto", "any", "none"]
    disable_parallel_tool_use: bool = False


class NamedTool(Part):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


class Format(Part):
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class Output(Part):
    format: Format | None = None


class Counted(Part):
    """The fields that say what the prompt is."""

    messages: Annotated[tuple[Turn, ...], Field(min_length=1)]
    model: str
    output_config: Output = Output()
    system: Texts = ()
    tool_choice: Annotated[Choice | NamedTool, Field(discriminator="type")] = Choice(type="auto")
    tools: tuple[Tool, ...] = ()


class Body(Counted):
    """And those that say how it is to be answered."""

    max_tokens: Tokens
    stream: bool = False


def read(fields: Mapping[str, Any], most_tokens: int) -> Asked:
    """The request. Raises `Refusal`."""
    known = understood("messages", fields)
    body = reading.parsed(Body, known)
    return _asked(body, known, min(body.max_tokens, most_tokens), stream=body.stream)


def read_count(fields: Mapping[str, Any], most_tokens: int) -> Asked:
    """A request whose tokens are to be counted. Raises `Refusal`."""
    known = understood("count", fields)
    return _asked(reading.parsed(Counted, known), known, most_tokens, stream=False)


def _asked(body: Counted, known: Mapping[str, Any], tokens: int, *, stream: bool) -> Asked:
    tools = [
        reading.declaration(f"tools[{n}]", one.name, one.description, one.input_schema)
        for n, one in enumerate(body.tools)
    ]
    form = body.output_config.format
    held = form and reading.constraint("output_config.format.schema", form.schema_)
    request = reading.request(
        messages=_messages(body),
        tools=tools,
        choice=_choice(body.tool_choice, tools),
        parallel=not body.tool_choice.disable_parallel_tool_use,
        held=held,
        held_by="output_config.format",
        seed=None,
        tokens=tokens,
    )
    return Asked(request, body.model, stream, known)


def _choice(choice: Choice | NamedTool, tools: list[ToolDeclaration]) -> str:
    if isinstance(choice, NamedTool):
        return reading.one_of("tool_choice.name", choice.name, tools)
    return "required" if choice.type == "any" else choice.type


def _messages(body: Counted) -> list[Message]:
    system = "\n\n".join(part.text for part in body.system)
    messages = [Message("system", system)] if system else []
    called: dict[str, str] = {}
    for n, turn in enumerate(body.messages):
        if isinstance(turn, Assistant):
            text = "".join(block.text for block in turn.content if isinstance(block, Text))
            made = [block for block in turn.content if isinstance(block, ToolUse)]
            called |= {one.id: one.name for one in made}
            calls = [ToolCall(one.name, one.input) for one in made]
            messages.append(Message("assistant", text, calls))
            continue
        results = [block for block in turn.content if isinstance(block, ToolResult)]
        for one in results:
            if one.tool_use_id not in called:
                what = f"no tool_use before it has the id {one.tool_use_id!r}"
                raise wrong(f"messages[{n}].content", what)
            said = "".join(part.text for part in one.content if isinstance(part, Text))
            content = f"error: {said}" if one.is_error else said
            messages.append(Message("tool", content, name=called[one.tool_use_id]))
        said = with_parts(Message("user"), _parts(f"messages[{n}].content", turn.content))
        if said.content or said.images or not results:
            messages.append(said)
    if messages[-1].role == "assistant":
        place = f"messages[{len(body.messages) - 1}].role"
        raise wrong(place, "an answer cannot be begun for the model: the last turn is the user's")
    return messages


def _parts(place: str, blocks: Sequence[Text | ImageBlock | ToolResult]) -> list[str | Image]:
    """The texts and pictures of blocks. A picture of a tool's result stands with what the user says
    to it: templates have no place for it in the result."""
    parts = list[str | Image]()
    for k, block in enumerate(blocks):
        if isinstance(block, Text):
            parts.append(block.text)
        elif isinstance(block, ImageBlock):
            parts.append(reading.decoded(f"{place}[{k}].source.data", block.source.data))
        else:
            shown = [part for part in block.content if isinstance(part, ImageBlock)]
            parts += _parts(f"{place}[{k}].content", shown)
    return parts


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "gesso": counts(usage),
    }


def _use(call: ToolCall) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": fresh("toolu"),
        "name": call.name,
        "input": dict(call.arguments),
    }


def _message(asked: Asked, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": fresh("msg"),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def answer(asked: Asked, result: Result) -> dict[str, Any]:
    """The whole answer."""
    texts = [{"type": "text", "text": result.text}] if result.text else []
    return {
        **_message(asked, usage_of(result.usage)),
        "content": [*texts, *map(_use, result.tool_calls)],
        "stop_reason": REASONS[result.finish_reason],
    }


def count(tokens: int) -> dict[str, Any]:
    """How many tokens a prompt has."""
    return {"input_tokens": tokens}


def problem(refusal: Refusal) -> dict[str, Any]:
    """A refusal as Anthropic's API tells it; `param` is ours."""
    kind = KINDS.get(refusal.kind, "invalid_request_error")
    error = {"type": kind, "message": refusal.what, "param": refusal.param}
    return {"type": "error", "error": error, "request_id": None}


class MessageTelling:
    """A message's start, its blocks one after the other, and its end."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._blocks = 0
        self._in_text = False

    def begin(self, prompt_tokens: int) -> Iterator[str]:
        usage = {"input_tokens": prompt_tokens, "output_tokens": 0}
        yield _event({"type": "message_start", "message": _message(self._asked, usage)})

    def text(self, delta: str) -> Iterator[str]:
        if not self._in_text:
            self._in_text = True
            yield self._start({"type": "text", "text": ""})
        yield self._delta({"type": "text_delta", "text": delta})

    def end(self, result: Result) -> Iterator[str]:
        if self._in_text:
            yield self._stop()
        for call in result.tool_calls:
            use = _use(call)
            written = json.dumps(use["input"], ensure_ascii=False)
            yield self._start({**use, "input": {}})
            yield self._delta({"type": "input_json_delta", "partial_json": written})
            yield self._stop()
        ended = {"stop_reason": REASONS[result.finish_reason], "stop_sequence": None}
        usage = usage_of(result.usage)
        yield _event({"type": "message_delta", "delta": ended, "usage": usage})
        yield _event({"type": "message_stop"})

    def fail(self, refusal: Refusal) -> Iterator[str]:
        yield _event(problem(refusal))

    def _start(self, block: Mapping[str, Any]) -> str:
        return _event(
            {"type": "content_block_start", "index": self._blocks, "content_block": block}
        )

    def _delta(self, delta: Mapping[str, Any]) -> str:
        return _event({"type": "content_block_delta", "index": self._blocks, "delta": delta})

    def _stop(self) -> str:
        self._blocks += 1
        return _event({"type": "content_block_stop", "index": self._blocks - 1})


def _event(data: Mapping[str, Any]) -> str:
    return event(data, data["type"])


MESSAGES = Dialect(
    "messages",
    read,
    answer,
    MessageTelling,
    problem,
    schema="output_config.format",
    messages="messages",
    tokens="max_tokens",
)
