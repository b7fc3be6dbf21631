"""Function-calling questions of the Berkeley leaderboard, as requests and as a check of answers.

The files are those of ShishirPatil/gorilla (`question`, `function`, `ground_truth`), read in place.
Their types are Python's; here they become JSON Schema's. A call is right when it names the function
and every argument is one of the accepted values; a parameter whose accepted values hold an empty
string may be left out. Strings are compared without case, spaces and the punctuation that the
leaderboard's own checker ignores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..request import Message, Request, ToolCall, ToolDeclaration

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
_IGNORED = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True)
class Question:
    """A request whose one right answer is a call; `accepted` are a parameter's right values."""

    request: Request
    name: str
    accepted: Mapping[str, Sequence[Any]]


def questions(file: Path, count: int) -> list[Question]:
    """The first `count` questions of a file."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines()[:count]:
        row = json.loads(line)
        messages = [Message(one["role"], one["content"]) for one in row["question"][0]]
        declared = [
            ToolDeclaration(one["name"], one["description"], _json_schema(one["parameters"]))
            for one in row["function"]
        ]
        name, accepted = next(iter(row["ground_truth"][0].items()))
        request = Request(messages, declared, "required", seed=1, max_tokens=384)
        found.append(Question(request, name, accepted))
    return found


def is_right(question: Question, calls: Sequence[ToolCall]) -> bool:
    """Whether the calls are the one call that the question asks for."""
    if len(calls) != 1 or calls[0].name != question.name:
        return False
    arguments = calls[0].arguments
    if arguments.keys() - question.accepted.keys():
        return False
    return all(
        any(_same(arguments[name], value) for value in values)
        if name in arguments
        else "" in values
        for name, values in question.accepted.items()
    )


def _same(found: Any, accepted: Any) -> bool:
    if isinstance(found, str) and isinstance(accepted, str):
        return _folded(found) == _folded(accepted)
    if isinstance(found, Mapping) and isinstance(accepted, Mapping):  # values are lists of accepted
        return found.keys() == accepted.keys() and all(
            any(_same(found[key], value) for value in accepted[key]) for key in found
        )
    if isinstance(found, list) and isinstance(accepted, list):
        return len(found) == len(accepted) and all(map(_same, found, accepted))
    return found == accepted and isinstance(found, bool) == isinstance(accepted, bool)


def _folded(text: str) -> str:
    return _IGNORED.sub("", text).casefold().replace("'", '"')


def _json_schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _json_schema(value) for key, value in node.items()}
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = _TYPES.get(kind, kind)
    return schema
