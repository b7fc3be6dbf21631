"""Documents turned into turns: what the model reads, and the answer that it should write.

Six kinds of turn, in the proportions of `KINDS`: call the record tool on a document, read the file
that a trigger named, end the run once the record is saved, fill a JSON Schema, call the tools that
a sentence asks for, and answer a question about a document in text.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from ..prompt import ChatTemplate
from ..request import Message, Request, ToolCall, ToolDeclaration
from .documents import Example, example, plain
from .lexicon import Split
from .requests import NO_TOOL, ask

Kind = Literal["record", "read", "end", "json", "request", "question"]

KINDS: dict[Kind, float] = {
    "record": 0.60,
    "read": 0.06,
    "end": 0.03,
    "json": 0.11,
    "request": 0.15,
    "question": 0.05,
}
_READ_DESCRIPTIONS = ("Read a text file.", "Read a file.", "Read one file of the workspace.")
_PATH_DESCRIPTIONS = ("Path of the file", "Path", "The file's path")
_SAVED = ("saved", "ok", "saved as record {n}", "Saved.", "record {n}")
_QUESTIONS = (
    "What is the {asked}?",
    "{asked}?",
    "Tell me the {asked}.",
    "Which {asked} does it say?",
)
_CALL_END, _TEXT_END = "<|tool_response>", "<turn|>"


@dataclass(frozen=True)
class Turn:
    """One turn: the request, and the answer with its end-of-turn token.

    `calls` are the tool calls that the answer makes; a `json` turn fills `schema` with `value`, a
    question's `value` is the text of its answer.
    """

    kind: Kind
    request: Request
    answer: str
    calls: tuple[ToolCall, ...] = ()
    schema: dict[str, Any] | None = None
    value: Any = None


def turn(rng: random.Random, split: Split, kind: Kind | None = None) -> Turn:
    """Draw one turn; the same generator state gives the same turn."""
    kind = kind or rng.choices(list(KINDS), weights=list(KINDS.values()))[0]
    if kind == "request":
        return _request_turn(rng, split)
    source = example(rng, split)
    if kind == "json":
        return _json_turn(rng, source)
    if kind == "question":
        return _question_turn(rng, source)
    return _tool_turn(rng, split, source, kind)


def rendered(drawn: Turn, template: ChatTemplate) -> tuple[str, str]:
    """The prompt and the answer as the model reads and writes them."""
    return template.render(drawn.request), drawn.answer


def declaration_of(source: Example) -> ToolDeclaration:
    """The tool that saves this record."""
    return ToolDeclaration(source.tool, source.tool_description, source.schema)


def _tool_turn(rng: random.Random, split: Split, source: Example, kind: Kind) -> Turn:
    save = declaration_of(source)
    where = {"type": "string", "description": rng.choice(_PATH_DESCRIPTIONS)}
    read = ToolDeclaration(
        "read_file",
        rng.choice(_READ_DESCRIPTIONS),
        {"type": "object", "properties": {"path": where}, "required": ["path"]},
    )
    messages = [Message("system", source.instruction)]
    direct = kind == "record" and rng.random() < 0.5
    tools = [save] if direct and rng.random() < 0.8 else [read, save]
    if rng.random() < 0.08:
        known = {tool.name for tool in tools}
        tools += [tool for tool in ask(rng, split).tools if tool.name not in known]
        rng.shuffle(tools)
    if direct:
        messages.append(Message("user", source.document))
    else:
        words = rng.choice(
            ["New file: {}", "New file: {}", "New file: {}", "{}", "Please file {}."]
        )
        messages.append(Message("user", words.format(source.source)))
    opened = ToolCall("read_file", {"path": source.source})
    saved = ToolCall(source.tool, source.record)
    answer, calls = native_call(source.tool, source.values) + _CALL_END, (saved,)
    if kind == "read":
        answer, calls = native_call("read_file", {"path": source.source}) + _CALL_END, (opened,)
    elif not direct:
        messages.append(Message("assistant", tool_calls=[opened]))
        messages.append(Message("tool", source.document, name="read_file"))
    if kind == "end":
        messages.append(Message("assistant", tool_calls=[saved]))
        outcome = rng.choice(_SAVED).format(n=rng.randrange(1, 5000))
        messages.append(Message("tool", outcome, name=source.tool))
        answer, calls = "Done." + _TEXT_END, ()
    return Turn(kind, Request(messages, tools), answer, calls)


def _json_turn(rng: random.Random, source: Example) -> Turn:
    schema = json.dumps(source.schema, separators=(",", ":"), ensure_ascii=False)
    system = f"{source.instruction}\nAnswer with JSON for this schema: {schema}"
    messages = [Message("system", system), Message("user", source.document)]
    return Turn(
        "json",
        Request(messages),
        json_text(source.values) + _TEXT_END,
        schema=source.schema,
        value=source.record,
    )


def _question_turn(rng: random.Random, source: Example) -> Turn:
    if source.asked:
        name, entry = rng.choice(source.asked)
        value, asked = entry.value, name.replace("_", " ")
        if rng.random() < 0.5:
            described = rng.choice(entry.descriptions)
            asked = (described[0].lower() + described[1:]).removeprefix("the ")
    else:
        value, asked = source.title, "kind of document"
    question = rng.choice(_QUESTIONS).format(asked=asked)
    text = rng.choice([f"{question}\n\n{source.document}", f"{source.document}\n\n{question}"])
    return Turn("question", Request([Message("user", text)]), value + _TEXT_END, value=value)


def _request_turn(rng: random.Random, split: Split) -> Turn:
    drawn = ask(rng, split)
    messages = [Message("system", drawn.system)] if drawn.system else []
    messages.append(Message("user", drawn.text))
    request = Request(messages, drawn.tools)
    calls = tuple(ToolCall(name, plain(arguments)) for name, arguments in drawn.calls)
    if not calls:
        return Turn("request", request, NO_TOOL + _TEXT_END)
    answer = "".join(native_call(name, arguments) for name, arguments in drawn.calls)
    return Turn("request", request, answer + _CALL_END, calls)


def native_call(name: str, arguments: dict[str, Any]) -> str:
    """A call as the chat template writes it; numbers with the digits that the document shows."""
    return f"<|tool_call>call:{name}{_native(arguments)}<tool_call|>"


def _native(value: Any) -> str:
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda item: item[0].lower())
        return "{" + ",".join(f"{key}:{_native(item)}" for key, item in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_native, value)) + "]"
    if isinstance(value, str):
        return f'<|"|>{value}<|"|>'
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def json_text(value: Any) -> str:
    """Compact JSON; numbers with the digits that the document shows."""
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
