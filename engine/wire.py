"""Turns in the words of OpenAI's chat completions, and back.

`payload` writes a request as a server takes it, and `read` reads its answer. A server takes less
than the API has words for: its `Manner` says what. What it has no field for is told in the prompt,
and read out of the text.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .constraint import Constraint, SchemaConstraint
from .constraint.callform import GEMMA_CALLS
from .constraint.validator import read_json
from .content import parts_of
from .prompt import with_system_line
from .request import Image, Message, Request, ToolCall, ToolDeclaration, Usage

_SCHEMA_TOLD = "Answer with JSON text for this schema, and nothing else: "
_TOOLS_TOLD = (
    'To call a tool, write <tool_call>{"name": …, "arguments": {…}}</tool_call>, a call after'
    " another, and nothing behind them. The tools:\n"
)
_MAGIC = {
    "image/png": re.compile(rb"\x89PNG"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "image/gif": re.compile(rb"GIF8"),
    "image/bmp": re.compile(rb"BM"),
    "image/tiff": re.compile(rb"II\*\0|MM\0\*"),
}
"""What a picture's file begins with."""
_FENCED = re.compile(r"\A\s*```[a-z]*\n(?P<text>.*?)\n?```\s*\Z", re.DOTALL)
_THOUGHT = re.compile(r"\A\s*<think>(?P<thought>.*?)</think>\s*", re.DOTALL)
_MARKED = re.compile(r"<tool_call>\s*(?P<call>.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Manner:
    """What a server takes: tools in their field, a schema in `response_format`, either of them
    `strict`, a `seed`, and the answer's bound under one name or the other."""

    tools: bool = True
    schemas: bool = True
    strict: bool = True
    seeds: bool = True
    bound: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    def without(self, request: Request, complaint: str) -> Manner | None:
        """A manner that leaves out what a server that refused the request complains of; of a
        schema, what it may have meant. `None` where there is nothing to leave out."""
        said = complaint.lower()
        if re.search(r"image|multimodal|vision", said) and any(m.images for m in request.messages):
            return None
        if "max_completion_tokens" in said and self.bound == "max_tokens":
            return replace(self, bound="max_completion_tokens")
        if request.seed is not None and self.seeds and re.search(r"\bseed\b", said):
            return replace(self, seeds=False)
        schema = self.schemas and _schema(request) is not None
        held = schema or (self.tools and request.tools)
        if held and self.strict and re.search(r"strict|additionalproperties|required", said):
            return replace(self, strict=False)
        if request.tools and self.tools and "tool" in said:
            return replace(self, tools=False)
        return replace(self, schemas=False) if schema else None


@dataclass(frozen=True)
class Answer:
    """What a server said: its text without thought and calls, the calls as they were written, and
    why it ended."""

    text: str
    thought: str
    calls: Sequence[tuple[str, str]]
    reason: str
    usage: Usage | None


def payload(model: str, request: Request, manner: Manner) -> dict[str, Any]:
    """The body of `POST /chat/completions`."""
    body: dict[str, Any] = {"model": model}
    messages = list(request.messages)
    schema = _schema(request)
    if schema is not None:
        messages = with_system_line(messages, _SCHEMA_TOLD + compact(schema))
        if manner.schemas:
            held = {"name": "answer", "schema": schema}
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": held | ({"strict": True} if manner.strict else {}),
            }
    elif request.constraint is not None and (told := request.constraint.describe()):
        messages = with_system_line(messages, told)
    if request.tools and manner.tools:
        body["tools"] = [_tool(tool, strict=manner.strict) for tool in request.tools]
        named = request.tool_choice not in ("auto", "none", "required")
        function = {"type": "function", "function": {"name": request.tool_choice}}
        body["tool_choice"] = function if named else request.tool_choice
        if request.most_calls == 1:
            body["parallel_tool_calls"] = False
    elif request.tools:
        listed = "\n".join(compact(_function(tool)) for tool in request.tools)
        messages = with_system_line(
            messages, f"{_TOOLS_TOLD}{listed}{_choice_told(request.tool_choice)}"
        )
    body["messages"] = list(_messages(messages, tools=manner.tools))
    if request.seed is not None and manner.seeds:
        body["seed"] = request.seed
    if request.max_tokens is not None:
        body[manner.bound] = request.max_tokens
    return body


def read(body: Any, request: Request) -> Answer:
    """What an answer's body says.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        if not isinstance(text, str):  # in parts
            text = "".join(part.get("text", "") for part in text)
        calls = [
            (call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        ]
        thought = message.get("reasoning_content") or message.get("reasoning") or ""
        reason = choice.get("finish_reason") or "stop"
        usage = _usage(body.get("usage"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ValueError(f"no chat completion: {compact(body)[:200]}") from None
    if found := _THOUGHT.match(text):
        thought, text = thought or found["thought"].strip(), text[found.end() :]
    if request.tools and not calls:
        text, calls = _called_in_text(text, {tool.name for tool in request.tools})
    return Answer(text, thought, calls, reason, usage)


def arguments_of(written: Any) -> Mapping[str, Any]:
    """A call's arguments; some servers send them as they are, and nothing for none.

    Raises:
        ValueError: they are not the JSON text of an object.
    """
    value = read_json(written or "{}") if isinstance(written, str | None) else written
    if not isinstance(value, Mapping):
        raise ValueError("the arguments are no object")
    return value


def unfenced(text: str) -> str:
    """A text without the Markdown fence that it was put into."""
    found = _FENCED.match(text)
    return found["text"] if found else text


def again(request: Request, answer: Answer, complaint: str) -> Request:
    """The request once more, behind the answer that will not do and what is wrong with it."""
    said = answer.text
    if answer.calls:
        said += "".join(f"\n{name}({arguments})" for name, arguments in answer.calls)
    wrong = f"That will not do: {complaint}. Answer again, with this put right."
    messages = [*request.messages, Message("assistant", said.strip()), Message("user", wrong)]
    return replace(request, messages=messages)


def _schema(request: Request) -> Any:
    """The JSON Schema that the answer is held to."""
    constraint: Constraint | None = request.constraint
    return constraint.schema if isinstance(constraint, SchemaConstraint) else None


def _function(tool: ToolDeclaration) -> dict[str, Any]:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def _tool(tool: ToolDeclaration, *, strict: bool) -> dict[str, Any]:
    function = _function(tool) | ({"strict": True} if strict else {})
    return {"type": "function", "function": function}


def _choice_told(choice: str) -> str:
    told = {"auto": "", "none": "\nCall none of them now.", "required": "\nCall one or more now."}
    return told.get(choice, f"\nCall {choice} now.")


def _messages(messages: Sequence[Message], *, tools: bool) -> Iterator[dict[str, Any]]:
    """A result belongs to the call before it that has none yet; the calls are numbered for it."""
    open_calls: list[str] = []
    for number, message in enumerate(messages):
        if message.tool_calls and tools:
            open_calls = [f"call_{number}_{n}" for n in range(len(message.tool_calls))]
            called = zip(open_calls, message.tool_calls, strict=True)
            yield {
                "role": "assistant",
                "content": message.content or None,
                "tool_calls": [
                    {
                        "id": key,
                        "type": "function",
                        "function": {"name": call.name, "arguments": compact(call.arguments)},
                    }
                    for key, call in called
                ],
            }
        elif message.tool_calls:
            yield {"role": "assistant", "content": message.content + _written(message.tool_calls)}
        elif message.role == "tool" and open_calls:
            yield {"role": "tool", "tool_call_id": open_calls.pop(0), "content": message.content}
        elif message.role == "tool":
            yield {"role": "user", "content": f"{message.name} answers: {message.content}"}
        elif message.images:
            yield {"role": message.role, "content": [_part(one) for one in parts_of(message)]}
        else:
            yield {"role": message.role, "content": message.content}


def _part(part: str | Image) -> dict[str, Any]:
    """A text or a picture, which is sent along (RFC 2397)."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    known = (media for media, magic in _MAGIC.items() if magic.match(part.data))
    media = next(known, "application/octet-stream")
    url = f"data:{media};base64,{base64.b64encode(part.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _written(calls: Sequence[ToolCall]) -> str:
    return "".join(
        f"<tool_call>{compact({'name': call.name, 'arguments': call.arguments})}</tool_call>"
        for call in calls
    )


def _called_in_text(text: str, known: set[str]) -> tuple[str, list[tuple[str, Any]]]:
    """Calls that a server has left in the text: between `<tool_call>` and its end (Hermes, Qwen),
    in Gemma's form, or a JSON object, or a list of them, that names a tool."""
    before, written = GEMMA_CALLS.split(text)
    if written:
        try:
            return before, [(call.name, call.arguments) for call in GEMMA_CALLS.parse(written)]
        except ValueError as error:
            return before, [("", f"{written} ({error})")]
    if marked := list(_MARKED.finditer(text)):
        found = [_call(one["call"]) or ("", one["call"]) for one in marked]
        return text[: marked[0].start()].rstrip(), found
    try:
        value = read_json(unfenced(text).strip())
    except ValueError:
        return text, []
    named = [_called(one) for one in (value if isinstance(value, list) else [value])]
    calls = [one for one in named if one is not None and one[0] in known]
    return ("", calls) if calls and len(calls) == len(named) else (text, [])


def _call(text: str) -> tuple[str, Any] | None:
    try:
        return _called(read_json(text))
    except ValueError:
        return None


def _called(value: Any) -> tuple[str, Any] | None:
    """A call as models write it when they are left alone."""
    if not isinstance(value, Mapping):
        return None
    function = value.get("function", value)
    if isinstance(function, str):
        function = {**value, "name": function}
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return None
    return function["name"], function.get("arguments", function.get("parameters", {}))


def _usage(told: Any) -> Usage | None:
    if not told:
        return None
    details = told.get("prompt_tokens_details") or {}
    ours = told.get("gesso") or {}
    return Usage(
        prompt_tokens=int(told["prompt_tokens"]),
        cached_tokens=int(details.get("cached_tokens") or 0),
        output_tokens=int(told.get("completion_tokens") or 0),
        canvases=int(ours.get("canvases") or 0),
        denoising_steps=int(ours.get("denoising_steps") or 0),
    )


def compact(value: Any) -> str:
    """JSON text without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
