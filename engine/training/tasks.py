"""Documents turned into turns: what the model reads, and the answer that it should write.

Four kinds of turn, in the proportions of `_KINDS`: call the record tool on a document, read the
file that a trigger named, end the run once the record is saved, and fill a JSON Schema.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Literal

from ..prompt import ChatTemplate
from ..request import Message, Request, ToolCall, ToolDeclaration
from .documents import Example, example

Kind = Literal["record", "read", "end", "json"]
Split = Literal["train", "heldout"]

_KINDS: dict[Kind, float] = {"record": 0.74, "read": 0.1, "end": 0.04, "json": 0.12}
_READ_DESCRIPTIONS = ("Read a text file.", "Read a file.", "Read one file of the workspace.")
_PATH_DESCRIPTIONS = ("Path of the file", "Path", "The file's path")
_SAVED = ("saved", "ok", "saved as record {n}", "Saved.", "record {n}")
_CALL_END, _TEXT_END = "<|tool_response>", "<turn|>"


@dataclass(frozen=True)
class Turn:
    """One training turn: the rendered prompt, and the answer with its end-of-turn token."""

    kind: Kind
    prompt: str
    answer: str
    source: Example


def turn(
    rng: random.Random, template: ChatTemplate, split: Split, kind: Kind | None = None
) -> Turn:
    """Draw one turn; the same generator state gives the same turn."""
    kind = kind or rng.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
    source = example(rng, split)
    if kind == "json":
        return _json_turn(rng, template, source)
    return _tool_turn(rng, template, source, kind)


def schema_of(source: Example, *, described: bool = True) -> dict[str, Any]:
    """The record's JSON Schema, as an agent file would state it."""
    properties: dict[str, Any] = {}
    for field in source.fields:
        properties[field.name] = {"type": field.type}
        if described:
            properties[field.name]["description"] = field.description
        if field.enum:
            properties[field.name]["enum"] = list(field.enum)
    names = [field.name for field in source.fields]
    return {"type": "object", "properties": properties, "required": names}


def declaration_of(source: Example, *, described: bool = True) -> ToolDeclaration:
    """The tool that saves this record."""
    schema = schema_of(source, described=described)
    return ToolDeclaration(source.tool, source.tool_description, schema)


def _tool_turn(rng: random.Random, template: ChatTemplate, source: Example, kind: Kind) -> Turn:
    save = declaration_of(source, described=rng.random() < 0.4)
    path = {"type": "string", "description": rng.choice(_PATH_DESCRIPTIONS)}
    read = ToolDeclaration(
        "read_file",
        rng.choice(_READ_DESCRIPTIONS),
        {"type": "object", "properties": {"path": path}, "required": ["path"]},
    )
    messages = [Message("system", source.instruction)]
    direct = kind == "record" and rng.random() < 0.5
    tools = [save] if direct and rng.random() < 0.85 else [read, save]
    if direct:
        messages.append(Message("user", source.document))
    else:
        messages.append(Message("user", f"New file: {source.source}"))
    call = f"<|tool_call>call:read_file{{path:{_quoted(source.source)}}}<tool_call|>"
    if kind == "read":
        answer = call + _CALL_END
    else:
        if not direct:
            messages.append(
                Message("assistant", tool_calls=[ToolCall("read_file", {"path": source.source})])
            )
            messages.append(Message("tool", source.document, name="read_file"))
        answer = native_call(source) + _CALL_END
    if kind == "end":
        messages.append(Message("assistant", tool_calls=[ToolCall(source.tool, source.values)]))
        saved = rng.choice(_SAVED).format(n=rng.randrange(1, 5000))
        messages.append(Message("tool", saved, name=source.tool))
        answer = "Done." + _TEXT_END
    return Turn(kind, template.render(Request(messages, tools)), answer, source)


def _json_turn(rng: random.Random, template: ChatTemplate, source: Example) -> Turn:
    described = schema_of(source, described=rng.random() < 0.4)
    schema = json.dumps(described, separators=(",", ":"), ensure_ascii=False)
    system = f"{source.instruction}\nAnswer with JSON for this schema: {schema}"
    prompt = template.render(Request([Message("system", system), Message("user", source.document)]))
    fields = ",".join(
        f'"{field.name}":{_json_text(field.type, source.texts[field.name])}'
        for field in source.fields
    )
    return Turn("json", prompt, f"{{{fields}}}{_TEXT_END}", source)


def native_call(source: Example) -> str:
    """The record's call as the chat template writes it; numbers as they stand in the document."""
    types = {field.name: field.type for field in source.fields}
    arguments = ",".join(
        f"{name}:{_quoted(text) if types[name] == 'string' else text}"
        for name, text in sorted(source.texts.items(), key=lambda item: item[0].lower())
    )
    return f"<|tool_call>call:{source.tool}{{{arguments}}}<tool_call|>"


def _json_text(kind: str, text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if kind == "string" else text


def _quoted(text: str) -> str:
    return f'<|"|>{text}<|"|>'
