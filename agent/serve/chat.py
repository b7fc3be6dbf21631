"""OpenAI's chat completions (`POST /v1/chat/completions`)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ...engine import Message, Result, ToolCall, Usage, with_parts
from . import reading
from .dialect import Dialect, counts, event, fresh, openai_problem
from .fields import understood
from .reading import Asked, Part, Seed, Tokens, texts
from .refusal import Refusal, wrong


class Text(Part):
    type: Literal["text"]
    text: str


Content = Annotated[tuple[Text, ...], texts("text")]


class System(Part):
    role: Literal["system", "developer"]
    content: Content


class ImageUrl(Part):
    url: str
    detail: Literal["auto"] = "auto"


class ImagePart(Part):
    type: Literal["image_url"]
    image_url: ImageUrl


class User(Part):
    role: Literal["user"]
    content: Annotated[
        tuple[Annotated[Text | ImagePart, Field(discriminator="type")], ...], texts("text")
    ]


class CalledFunction(Part):
    name: str
    arguments: str


class CallPart(Part):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Assistant(Part):
    """A turn as it was answered; what this server leaves empty may come back empty."""

    role: Literal["assistant"]
    content: Content = ()
    tool_calls: tuple[CallPart, ...] = ()
    annotations: Annotated[tuple[Any, ...], Field(max_length=0)] = ()


class Tool(Part):
    role: Literal["tool"]
    content: Content
    tool_call_id: str


Turn = Annotated[System | User | Assistant | Tool, Field(discriminator="role")]


class Function(Part):
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool = True


class ToolPart(Part):
    type: Literal["function"]
    function: Function


class NamedFunction(Part):
    name: str


class NamedTool(Part):
    type: Literal["function"]
    function: NamedFunction


class Schema(Part):
    name: str
    description: str = ""
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool = True


class PlainFormat(Part):
    type: Literal["text", "json_object"]


class SchemaFormat(Part):
    type: Literal["json_schema"]
    json_schema: Schema


class StreamOptions(Part):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class Body(Part):
    """The fields that say what to do."""

    messages: Annotated[tuple[Turn, ...], Field(min_length=1)]
    model: str
    max_completion_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    parallel_tool_calls: bool = True
    response_format: Annotated[PlainFormat | SchemaFormat, Field(discriminator="type")] = (
        PlainFormat(type="text")
    )
    seed: Seed | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    tools: tuple[ToolPart, ...] = ()


def read(fields: Mapping[str, Any], most_tokens: int) -> Asked:
    """The request. Raises `Refusal`."""
    known = understood("chat", fields)
    body = reading.parsed(Body, known)
    if body.stream_options is not None and not body.stream:
        raise wrong("stream_options", "only where `stream` is true")
    tools = [
        reading.declaration(f"tools[{n}]", one.name, one.description, one.parameters)
        for n, one in enumerate(tool.function for tool in body.tools)
    ]
    choice = body.tool_choice
    if isinstance(choice, NamedTool):
        choice = reading.one_of("tool_choice", choice.function.name, tools)
    asked = body.max_completion_tokens or body.max_tokens or most_tokens
    request = reading.request(
        messages=_messages(body.messages),
        tools=tools,
        choice=choice,
        parallel=body.parallel_tool_calls,
        held=_held(body.response_format),
        held_by="response_format",
        seed=body.seed,
        tokens=min(asked, most_tokens),
    )
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    return Asked(request, body.model, body.stream, known, with_usage)


def _held(form: PlainFormat | SchemaFormat) -> reading.Constraint | None:
    if isinstance(form, SchemaFormat):
        schema = form.json_schema.schema_ or {}
        return reading.constraint("response_format.json_schema.schema", schema)
    if form.type == "json_object":
        return reading.constraint("response_format", {"type": "object"})
    return None


def _messages(turns: Sequence[Turn]) -> list[Message]:
    called: dict[str, str] = {}
    messages = []
    for n, turn in enumerate(turns):
        if isinstance(turn, User):
            parts = [
                reading.image(f"messages[{n}].content[{k}].image_url.url", part.image_url.url)
                if isinstance(part, ImagePart)
                else part.text
                for k, part in enumerate(turn.content)
            ]
            messages.append(with_parts(Message("user"), parts))
            continue
        content = "".join(part.text for part in turn.content)
        if isinstance(turn, Assistant):
            calls = []
            for k, one in enumerate(turn.tool_calls):
                place = f"messages[{n}].tool_calls[{k}].function.arguments"
                calls.append(reading.call(place, one.function.name, one.function.arguments))
                called[one.id] = one.function.name
            messages.append(Message("assistant", content, calls))
        elif isinstance(turn, Tool):
            if turn.tool_call_id not in called:
                place = f"messages[{n}].tool_call_id"
                raise wrong(place, f"no call before it has the id {turn.tool_call_id!r}")
            messages.append(Message("tool", content, name=called[turn.tool_call_id]))
        else:
            messages.append(Message("system", content))
    return messages


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "gesso": counts(usage),
    }


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": fresh("call"), "type": "function", "function": function}


def answer(asked: Asked, result: Result) -> dict[str, Any]:
    """The whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": result.text, "refusal": None}
    if result.tool_calls:
        message["content"] = result.text or None
        message["tool_calls"] = [_call(call) for call in result.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": result.finish_reason,
    }
    return {
        "id": fresh("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model,
        "choices": [choice],
        "usage": usage_of(result.usage),
    }


class ChatTelling:
    """Chunks, and `[DONE]`."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head = {
            "id": fresh("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": asked.model,
        }

    def begin(self, prompt_tokens: int) -> Iterator[str]:
        yield self._chunk({"role": "assistant", "content": ""})

    def text(self, delta: str) -> Iterator[str]:
        yield self._chunk({"content": delta})

    def end(self, result: Result) -> Iterator[str]:
        for index, call in enumerate(result.tool_calls):
            yield self._chunk({"tool_calls": [{"index": index, **_call(call)}]})
        yield self._chunk({}, result.finish_reason)
        if self._asked.include_usage:
            yield event({**self._head, "choices": [], "usage": usage_of(result.usage)})
        yield "data: [DONE]\n\n"

    def fail(self, refusal: Refusal) -> Iterator[str]:
        yield event(openai_problem(refusal))

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**self._head, "choices": [choice]})


CHAT = Dialect(
    "chat",
    read,
    answer,
    ChatTelling,
    openai_problem,
    schema="response_format",
    messages="messages",
    tokens="max_completion_tokens",
)
