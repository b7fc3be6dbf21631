"""Whatever a body holds, it is read or refused; nothing else comes of it."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from gesso.agent.serve.chat import CHAT
from gesso.agent.serve.dialect import Dialect
from gesso.agent.serve.messages import MESSAGES
from gesso.agent.serve.refusal import Refusal
from gesso.agent.serve.responses import RESPONSES
from receipts_to_serve import SCHEMA

PICTURE = "data:image/png;base64,iVBORw0KGgo="
FUNCTION: dict[str, Any] = {"name": "save", "description": "Save it.", "parameters": SCHEMA}
BODIES: list[tuple[Dialect, dict[str, Any]]] = [
    (
        CHAT,
        {
            "model": "sketch",
            "messages": [
                {"role": "system", "content": "Read."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "12.50"},
                        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "auto"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "one",
                            "type": "function",
                            "function": {"name": "save", "arguments": "{}"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "one", "content": "saved"},
            ],
            "tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}],
            "tool_choice": {"type": "function", "function": {"name": "save"}},
            "parallel_tool_calls": False,
            "response_format": {"type": "text"},
            "stream": True,
            "stream_options": {"include_usage": True},
            "seed": 1,
            "max_tokens": 9,
        },
    ),
    (
        RESPONSES,
        {
            "model": "sketch",
            "instructions": "Read.",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "12.50"},
                        {"type": "input_image", "image_url": PICTURE},
                    ],
                },
                {"type": "function_call", "call_id": "one", "name": "save", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "one", "output": "saved"},
            ],
            "text": {"format": {"type": "json_schema", "name": "it", "schema": SCHEMA}},
            "max_output_tokens": 9,
        },
    ),
    (
        MESSAGES,
        {
            "model": "sketch",
            "max_tokens": 9,
            "system": [{"type": "text", "text": "Read.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "12.50"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "one", "name": "save", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "one",
                            "content": [
                                {"type": "text", "text": "saved"},
                                {
                                    "type": "image",
                                    "source": {
                                        "type": "base64",
                                        "media_type": "image/png",
                                        "data": "iVBORw0KGgo=",
                                    },
                                },
                            ],
                        },
                        {"type": "text", "text": "And now?"},
                    ],
                },
            ],
            "tools": [{"name": "save", "input_schema": SCHEMA}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        },
    ),
]
STRANGE: list[Any] = [
    *(None, True, -1, 2.5, 1e400, 10**400, "", "x", "text", [], [[]], [None], {}, {"": {}}),
    *({"type": "text"}, {"type": {}}, [{"type": []}], {"role": 1}, {"$ref": "#/a"}, [1, "a"]),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with a key or index in it."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return []
    return [(value, key) for key, _ in pairs] + [one for _, item in pairs for one in places(item)]


@pytest.mark.parametrize(("dialect", "body"), BODIES, ids=lambda one: getattr(one, "api", ""))
def test_a_body_with_something_strange_in_it_is_read_or_refused(
    dialect: Dialect, body: dict[str, Any]
) -> None:
    dialect.read(body, 100)
    rng = random.Random("strange")
    refused: list[Refusal] = []
    for _ in range(600):
        changed = copy.deepcopy(body)
        for _ in range(rng.randint(1, 2)):
            container, key = rng.choice(places(changed))
            if rng.random() < 0.2:
                del container[key]
            else:
                container[key] = copy.deepcopy(rng.choice(STRANGE))
        try:
            dialect.read(changed, 100)
        except Refusal as refusal:
            refused.append(refusal)
    assert len(refused) > 300
    assert {refusal.status for refusal in refused} == {400}
    assert all(dialect.problem(refusal) for refusal in refused)
