"""OpenAI's responses (`POST /v1/responses`). Nothing is kept: each request is the whole input."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ...engine import Message, Result, ToolCall, Usage, with_parts
from . import reading
from .dialect import Dialect, counts, event, fresh, openai_problem
from .fields import understood
from .reading import Asked, Part, Tokens, texts
from .refusal import Refusal, wrong

Status = Literal["in_progress", "completed", "incomplete"]


class Text(Part):
    """Of a turn of any side, also one that this API answered with."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Annotated[tuple[Any, ...], Field(max_length=0)] = ()
    logprobs: Annotated[tuple[Any, ...], Field(max_length=0)] = ()


class InputImage(Part):
    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto"] = "auto"


Content = Annotated[tuple[Text, ...], texts("input_text")]
Seen = Annotated[
    tuple[Annotated[Text | InputImage, Field(discriminator="type")], ...], texts("input_text")
]


class Turn(Part):
    type: Literal["message"]
    role: Literal["user", "assistant", "system", "developer"]
    content: Seen
    id: str | None = None
    status: Status | None = None


class FunctionCall(Part):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: Status | None = None


class FunctionCallOutput(Part):
    type: Literal["function_call_output"]
    call_id: str
    output: Content
    id: str | None = None
    status: Status | None = None


def _with_type(value: Any) -> Any:
    """A message need not say that it is one."""
    if isinstance(value, dict) and "role" in value and value.get("type") is None:
        return {**value, "type": "message"}
    return value


Item = Annotated[
    Turn | FunctionCall | FunctionCallOutput,
    Field(discriminator="type"),
    BeforeValidator(_with_type),
]


def _listed(value: Any) -> Any:
    """A text is short for one message of the user's."""
    return (
        [{"type": "message", "role": "user", "content": value}] if isinstance(value, str) else value
    )


class Tool(Part):
    type: Literal["function"]
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool = True


class NamedTool(Part):
    type: Literal["function"]
    name: str


class PlainFormat(Part):
    type: Literal["text", "json_object"]


class SchemaFormat(Part):
    type: Literal["json_schema"]
    name: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str = ""
    strict: bool = True


class TextConfiguration(Part):
    format: Annotated[PlainFormat | SchemaFormat, Field(discriminator="type")] = PlainFormat(
        type="text"
    )
    verbosity: Literal["medium"] = "medium"


class Body(Part):
    """The fields that say what to do."""

    input: Annotated[tuple[Item, ...], BeforeValidator(_listed), Field(min_length=1)]
    model: str
    instructions: str = ""
    max_output_tokens: Tokens | None = None
    parallel_tool_calls: bool = True
    stream: bool = False
    text: TextConfiguration = TextConfiguration()
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    tools: tuple[Tool, ...] = ()


def read(fields: Mapping[str, Any], most_tokens: int) -> Asked:
    """The request. Raises `Refusal`."""
    known = understood("responses", fields)
    body = reading.parsed(Body, known)
    tools = [
        reading.declaration(f"tools[{n}]", one.name, one.description, one.parameters)
        for n, one in enumerate(body.tools)
    ]
    choice = body.tool_choice
    if isinstance(choice, NamedTool):
        choice = reading.one_of("tool_choice", choice.name, tools)
    request = reading.request(
        messages=[
            *([Message("system", body.instructions)] if body.instructions else []),
            *_messages(body.input),
        ],
        tools=tools,
        choice=choice,
        parallel=body.parallel_tool_calls,
        held=_held(body.text.format),
        held_by="text.format",
        seed=None,
        tokens=min(body.max_output_tokens or most_tokens, most_tokens),
    )
    return Asked(request, body.model, body.stream, {**known, "metadata": fields.get("metadata")})


def _held(form: PlainFormat | SchemaFormat) -> reading.Constraint | None:
    if isinstance(form, SchemaFormat):
        return reading.constraint("text.format.schema", form.schema_)
    if form.type == "json_object":
        return reading.constraint("text.format", {"type": "object"})
    return None


def _messages(items: Sequence[Turn | FunctionCall | FunctionCallOutput]) -> list[Message]:
    """The conversation; calls that follow each other, or a text, are one turn."""
    called: dict[str, str] = {}
    messages: list[Message] = []
    for n, item in enumerate(items):
        if isinstance(item, FunctionCall):
            called[item.call_id] = item.name
            call = reading.call(f"input[{n}].arguments", item.name, item.arguments)
            before = messages.pop() if messages and messages[-1].role == "assistant" else None
            calls = [*(before.tool_calls if before else ()), call]
            messages.append(Message("assistant", before.content if before else "", calls))
        elif isinstance(item, FunctionCallOutput):
            if item.call_id not in called:
                raise wrong(f"input[{n}].call_id", f"no call before it has the id {item.call_id!r}")
            content = "".join(part.text for part in item.output)
            messages.append(Message("tool", content, name=called[item.call_id]))
        else:
            role = "system" if item.role == "developer" else item.role
            parts = []
            for k, part in enumerate(item.content):
                if isinstance(part, Text):
                    parts.append(part.text)
                    continue
                place = f"input[{n}].content[{k}]"
                if role != "user":
                    raise wrong(f"{place}.type", "images stand in a user's messages")
                parts.append(reading.image(f"{place}.image_url", part.image_url))
            messages.append(with_parts(Message(role), parts))
    return messages


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "gesso": counts(usage),
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(name: str, text: str | None) -> dict[str, Any]:
    """The item of a text; without one, of a text that is being written."""
    return {
        "type": "message",
        "id": name,
        "role": "assistant",
        "status": "in_progress" if text is None else "completed",
        "content": [] if text is None else [_text(text)],
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": fresh("fc"),
        "call_id": fresh("call"),
        "name": call.name,
        "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
        "status": "completed",
    }


def _begun(asked: Asked) -> dict[str, Any]:
    """A response that is being written, with what of the request is told with it."""
    fields = asked.fields
    return {
        "id": fresh("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": fields.get("instructions"),
        "max_output_tokens": fields.get("max_output_tokens"),
        "metadata": fields.get("metadata") or {},
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": fields.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "store": False,
        "temperature": 1.0,
        "text": fields.get("text", {"format": {"type": "text"}}),
        "tool_choice": fields.get("tool_choice", "auto"),
        "tools": fields.get("tools", []),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def _ended(begun: Mapping[str, Any], output: Sequence[Any], result: Result) -> dict[str, Any]:
    cut = result.finish_reason == "length"
    return {
        **begun,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": list(output),
        "usage": usage_of(result.usage),
    }


def answer(asked: Asked, result: Result) -> dict[str, Any]:
    """The whole answer."""
    said = bool(result.text) or not result.tool_calls
    output = [_message(fresh("msg"), result.text)] if said else []
    return _ended(_begun(asked), [*output, *map(_call, result.tool_calls)], result)


class ResponseTelling:
    """A response's start, its items one after the other, and the whole of it at its end."""

    def __init__(self, asked: Asked) -> None:
        self._response = _begun(asked)
        self._numbers = count()
        self._name = fresh("msg")
        self._said = ""
        self._in_text = False

    def begin(self, prompt_tokens: int) -> Iterator[str]:
        yield self._event("created", response=self._response)
        yield self._event("in_progress", response=self._response)

    def text(self, delta: str) -> Iterator[str]:
        if not self._in_text:
            self._in_text = True
            yield self._event("output_item.added", output_index=0, item=_message(self._name, None))
            yield self._part("content_part.added", part=_text(""))
        self._said += delta
        yield self._part("output_text.delta", delta=delta, logprobs=[])

    def end(self, result: Result) -> Iterator[str]:
        output: list[dict[str, Any]] = []
        if not self._in_text and not result.tool_calls:  # an answer without any text
            yield from self.text("")
        if self._in_text:
            output.append(_message(self._name, self._said))
            yield self._part("output_text.done", text=self._said, logprobs=[])
            yield self._part("content_part.done", part=_text(self._said))
            yield self._event("output_item.done", output_index=0, item=output[0])
        for call in result.tool_calls:
            item, at = _call(call), len(output)
            output.append(item)
            place = {"item_id": item["id"], "output_index": at}
            written = item["arguments"]
            begun = {**item, "arguments": "", "status": "in_progress"}
            yield self._event("output_item.added", output_index=at, item=begun)
            yield self._event("function_call_arguments.delta", **place, delta=written)
            done = {**place, "name": call.name, "arguments": written}
            yield self._event("function_call_arguments.done", **done)
            yield self._event("output_item.done", output_index=at, item=item)
        whole = _ended(self._response, output, result)
        yield self._event(whole["status"], response=whole)

    def fail(self, refusal: Refusal) -> Iterator[str]:
        error = {"code": refusal.code or "server_error", "message": refusal.what}
        failed = {**self._response, "status": "failed", "error": error}
        yield self._event("failed", response=failed)

    def _part(self, kind: str, **data: Any) -> str:
        place = {"item_id": self._name, "output_index": 0, "content_index": 0}
        return self._event(kind, **place, **data)

    def _event(self, kind: str, **data: Any) -> str:
        whole = f"response.{kind}"
        return event({"type": whole, "sequence_number": next(self._numbers), **data}, whole)


RESPONSES = Dialect(
    "responses",
    read,
    answer,
    ResponseTelling,
    openai_problem,
    schema="text.format",
    messages="input",
    tokens="max_output_tokens",
)
