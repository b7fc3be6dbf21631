"""Every field of the three APIs is supported, or refused by name; one table says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import httpx
import pytest
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from gesso.agent.serve.fields import FIELDS, PATHS, Api, table
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from receipts_to_serve import RECEIPT

ROOT = Path(__file__).parents[3]
ASK = [{"role": "user", "content": RECEIPT}]
BODIES: dict[Api, dict[str, Any]] = {
    "chat": {"model": "sketch", "messages": ASK, "max_tokens": 5},
    "responses": {"model": "sketch", "input": RECEIPT, "max_output_tokens": 5},
    "messages": {"model": "sketch", "messages": ASK, "max_tokens": 5},
    "count": {"model": "sketch", "messages": ASK},
}
PARAMETERS: dict[Api, Any] = {
    "chat": CompletionCreateParamsStreaming,
    "responses": ResponseCreateParamsStreaming,
    "messages": MessageCreateParamsStreaming,
    "count": MessageCountTokensParams,
}


def test_the_document_is_the_table() -> None:
    assert (ROOT / "agent" / "serve" / "FIELDS.md").read_text(encoding="utf-8") == table()


@pytest.mark.parametrize("api", FIELDS)
def test_the_table_names_every_field_that_the_clients_know(api: Api) -> None:
    names = [field.name for field in FIELDS[api]]
    assert len(names) == len(set(names))
    assert set(get_type_hints(PARAMETERS[api])) <= set(names)


def told(url: str, api: Api, **fields: Any) -> tuple[int, str, str | None]:
    answer = httpx.post(f"{url}{PATHS[api]}", json={**BODIES[api], **fields}, timeout=60)
    if answer.status_code == 200:
        return 200, "", None
    error = answer.json()["error"]
    return answer.status_code, error["message"], error["param"]


@pytest.mark.parametrize("api", FIELDS)
def test_what_is_not_supported_is_refused_by_name(url: str, api: Api) -> None:
    for field in FIELDS[api]:
        if field.support in ("no", "neutral"):
            status, message, param = told(url, api, **{field.name: {"something": "else"}})
            assert (status, param) == (400, field.name)
            assert message.startswith(f"{field.name}: ")
    assert told(url, api, tempreature=1)[::2] == (400, "tempreature")


@pytest.mark.parametrize("api", FIELDS)
def test_what_asks_for_nothing_is_taken(url: str, api: Api) -> None:
    nothing: dict[str, Any] = {}
    for field in FIELDS[api]:
        if field.support == "no":
            nothing[field.name] = None
        elif field.support == "neutral":
            nothing[field.name] = field.neutral[-1]
        elif field.support == "unused":
            nothing[field.name] = {} if field.name in ("metadata", "cache_control") else "someone"
    assert told(url, api, **nothing) == (200, "", None)


def test_true_is_not_one(url: str) -> None:
    assert told(url, "chat", n=True)[0] == 400
    assert told(url, "chat", temperature=1.0)[0] == 200
