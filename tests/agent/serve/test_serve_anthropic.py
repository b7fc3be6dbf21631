"""The `anthropic` client, unchanged, against `gesso serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, APIStatusError, BadRequestError, NotFoundError
from anthropic.types import Message
from receipts_to_serve import RECEIPT, SCHEMA, Bill

ASK: Any = [{"role": "user", "content": RECEIPT}]
SAVE: Any = {"name": "save", "description": "Save the bill.", "input_schema": SCHEMA}
SKIP: Any = {"name": "skip", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_a_message_is_answered(client: Anthropic) -> None:
    answer = client.messages.create(model="sketch", max_tokens=100, system="Read it.", messages=ASK)
    assert answer.content[0].type == "text"
    assert answer.stop_reason in ("end_turn", "max_tokens")
    counted = client.messages.count_tokens(model="sketch", system="Read it.", messages=ASK)
    usage = answer.usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    assert (usage.model_extra or {})["gesso"]["canvases"] > 0


def test_a_schema_holds_the_answer(client: Anthropic) -> None:
    answer = client.messages.create(
        model="sketch",
        max_tokens=100,
        messages=ASK,
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )
    assert answer.content[0].type == "text"
    Bill.model_validate_json(answer.content[0].text, strict=True)


def used(answer: Message) -> list[str]:
    uses = [block for block in answer.content if block.type == "tool_use"]
    for use in uses:
        if use.name == "save":
            Bill.model_validate(use.input, strict=True)
    assert (answer.stop_reason == "tool_use") == bool(uses)
    return [use.name for use in uses]


def test_every_tool_choice(client: Anthropic) -> None:
    def ask(**given: Any) -> list[str]:
        choice: Any = given
        return used(
            client.messages.create(
                model="sketch",
                max_tokens=120,
                messages=ASK,
                tools=[SAVE, SKIP],
                tool_choice=choice,
            )
        )

    assert ask(type="none") == []
    assert ask(type="auto") is not None
    assert ask(type="any")
    assert len(ask(type="any", disable_parallel_tool_use=True)) == 1
    assert ask(type="tool", name="save") == ["save"]
    assert ask(type="tool", name="skip") == ["skip"]


def test_a_stream_of_text_and_of_calls(client: Anthropic) -> None:
    with client.messages.stream(model="sketch", max_tokens=100, messages=ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.content[0].type == "text"
    assert final.content[0].text == text != ""
    assert final.usage.output_tokens > 0
    with client.messages.stream(
        model="sketch", max_tokens=200, messages=ASK, tools=[SAVE], tool_choice={"type": "any"}
    ) as stream:
        events = list(stream)
        final = stream.get_final_message()
    assert used(final)
    pieces = [json.loads(e.partial_json) for e in events if e.type == "input_json"]
    assert pieces == [block.input for block in final.content if block.type == "tool_use"]


def test_results_go_on(client: Anthropic) -> None:
    first = client.messages.create(
        model="sketch", max_tokens=200, messages=ASK, tools=[SAVE], tool_choice={"type": "any"}
    )
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "saved"}
        for block in first.content
        if block.type == "tool_use"
    ]
    results[0]["is_error"] = True
    history = [*ASK, {"role": "assistant", "content": first.content}]
    again = client.messages.create(
        model="sketch",
        max_tokens=100,
        messages=[*history, {"role": "user", "content": results}],
        tools=[SAVE],
    )
    assert again.usage.output_tokens > 0


def error_of(error: APIStatusError) -> str:
    body: Any = error.body
    return body["error"]["type"]


def test_refusals_have_the_shape_of_the_api(client: Anthropic) -> None:
    with pytest.raises(BadRequestError) as raised:
        client.messages.create(
            model="sketch", max_tokens=9, messages=ASK, extra_body={"temperature": 0.5}
        )
    assert error_of(raised.value) == "invalid_request_error"
    assert "temperature: only 1 is supported" in str(raised.value)
    begun = [*ASK, {"role": "assistant", "content": "It is"}]
    with pytest.raises(BadRequestError, match=r"messages\[1\]\.role"):
        client.messages.create(model="sketch", max_tokens=9, messages=begun)
    with pytest.raises(NotFoundError) as missing:
        client.messages.create(model="other", max_tokens=9, messages=ASK)
    assert error_of(missing.value) == "not_found_error"


def test_models(client: Anthropic) -> None:
    assert [model.id for model in client.models.list()] == ["sketch"]
    assert client.models.retrieve("sketch").max_input_tokens == 4096
