"""The `openai` client, unchanged, against `gesso serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gesso.engine import Engine, Message, Request
from openai import APIStatusError, OpenAI
from openai.types.chat import ChatCompletion
from receipts_to_serve import RECEIPT, SCHEMA, Bill

SAVE: Any = {
    "type": "function",
    "function": {"name": "save", "description": "Save the bill.", "parameters": SCHEMA},
}
SKIP: Any = {
    "type": "function",
    "function": {"name": "skip", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_chat_is_answered_as_the_engine_would(client: OpenAI, sketch: Engine) -> None:
    answer = client.chat.completions.create(
        model="sketch", messages=[{"role": "user", "content": RECEIPT}], seed=3, max_tokens=100
    )
    alone = sketch.generate(Request([Message("user", RECEIPT)], seed=3, max_tokens=100))
    assert answer.choices[0].message.content == alone.text
    assert answer.choices[0].finish_reason == alone.finish_reason
    assert answer.usage is not None
    assert answer.usage.completion_tokens == alone.usage.output_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens is not None
    extra = (answer.usage.model_extra or {})["gesso"]
    assert extra["canvases"] == alone.usage.canvases
    assert extra["denoising_steps"] == alone.usage.denoising_steps
    assert {"joules", "energy"} <= set(extra)


def test_a_stream_adds_up_to_the_same_answer(client: OpenAI) -> None:
    asked: Any = {"model": "sketch", "messages": [{"role": "user", "content": RECEIPT}], "seed": 5}
    schema = {"type": "string", "minLength": 150, "maxLength": 160}
    form: Any = {"type": "json_schema", "json_schema": {"name": "text", "schema": schema}}
    whole = client.chat.completions.create(**asked, response_format=form)
    chunks = list(
        client.chat.completions.create(
            **asked, response_format=form, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert sum(bool(delta) for delta in deltas) > 1  # a commit, a delta
    assert "".join(deltas) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_parse_gives_a_pydantic_model(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="sketch", messages=[{"role": "user", "content": RECEIPT}], response_format=Bill
    )
    assert isinstance(answer.choices[0].message.parsed, Bill)
    with client.chat.completions.stream(
        model="sketch", messages=[{"role": "user", "content": RECEIPT}], response_format=Bill
    ) as stream:
        last = stream.get_final_completion()
    assert isinstance(last.choices[0].message.parsed, Bill)


def test_json_object_is_an_object(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="sketch",
        messages=[{"role": "user", "content": RECEIPT}],
        response_format={"type": "json_object"},
        max_tokens=60,
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def called(answer: ChatCompletion) -> list[str]:
    calls = answer.choices[0].message.tool_calls or []
    for call in calls:
        assert call.type == "function"
        if call.function.name == "save":
            Bill.model_validate_json(call.function.arguments, strict=True)
    assert (answer.choices[0].finish_reason == "tool_calls") == bool(calls)
    return [call.function.name for call in calls if call.type == "function"]


def test_every_tool_choice(client: OpenAI) -> None:
    def ask(choice: Any, **more: Any) -> list[str]:
        return called(
            client.chat.completions.create(
                model="sketch",
                messages=[{"role": "user", "content": RECEIPT}],
                tools=[SAVE, SKIP],
                tool_choice=choice,
                max_tokens=120,
                **more,
            )
        )

    assert ask("none") == []
    assert ask("auto") is not None
    assert ask("required")
    assert len(ask("required", parallel_tool_calls=False)) == 1
    assert ask({"type": "function", "function": {"name": "skip"}}) == ["skip"]
    assert ask({"type": "function", "function": {"name": "save"}}) == ["save"]


def test_a_call_is_one_delta_and_its_result_goes_on(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": RECEIPT}]
    chunks = list(
        client.chat.completions.create(
            model="sketch", messages=asked, tools=[SAVE], tool_choice="required", stream=True
        )
    )
    deltas = [d for c in chunks for d in c.choices[0].delta.tool_calls or []]
    assert [delta.index for delta in deltas] == list(range(len(deltas)))
    assert all(delta.id and delta.function and delta.function.arguments for delta in deltas)
    answer = client.chat.completions.create(
        model="sketch", messages=asked, tools=[SAVE], tool_choice="required"
    )
    message: Any = answer.choices[0].message
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": "saved"}
        for call in message.tool_calls or []
    ]
    last = client.chat.completions.create(
        model="sketch", messages=[*asked, message, *results], tools=[SAVE], max_tokens=100
    )
    assert last.usage is not None
    assert answer.usage is not None
    assert last.usage.prompt_tokens > answer.usage.prompt_tokens
    with pytest.raises(APIStatusError) as raised:
        client.chat.completions.create(model="sketch", messages=[*asked, *results])
    assert raised.value.param == "messages[1].tool_call_id"


def test_responses(client: OpenAI) -> None:
    answer = client.responses.create(model="sketch", input=RECEIPT, max_output_tokens=100)
    assert answer.status in ("completed", "incomplete")
    assert answer.output_text
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    parsed = client.responses.parse(
        model="sketch", instructions="Read it.", input=RECEIPT, text_format=Bill
    )
    assert isinstance(parsed.output_parsed, Bill)


def test_responses_call_tools_and_go_on(client: OpenAI) -> None:
    tool: Any = {"type": "function", **SAVE["function"], "strict": True}
    first = client.responses.create(
        model="sketch", input=RECEIPT, tools=[tool], tool_choice="required"
    )
    calls = [item for item in first.output if item.type == "function_call"]
    assert calls
    results: list[Any] = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "saved"}
        for call in calls
    ]
    history: Any = [{"role": "user", "content": RECEIPT}, *first.output, *results]
    again = client.responses.create(
        model="sketch",
        input=history,
        tools=[tool],
        tool_choice={"type": "function", "name": "save"},
    )
    assert [item.type for item in again.output] == ["function_call"]


def test_a_stream_of_responses(client: OpenAI) -> None:
    with client.responses.stream(model="sketch", input=RECEIPT, text_format=Bill) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert isinstance(final.output_parsed, Bill)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text


def test_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["sketch"]
    assert client.models.retrieve("sketch").owned_by == "gesso"


def test_the_readme_shows_it(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Served to other programs")[1]
    example = section.split("```python\n")[1].split("```")[0]
    assert "http://127.0.0.1:8000" in example
    exec(example.replace("http://127.0.0.1:8000", url), {"schema": SCHEMA})
    assert "'canvases': 1" in capsys.readouterr().out
