"""A hundred strict requests of each real client to `gesso serve`, by `make campaigns`: all valid.

The schemas, documents and seeds are drawn; `jsonschema` is the judge. Printed are the counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
from anthropic import Anthropic
from gesso.agent.serve import Limits, serving
from gesso.agent.serve.keys import Keys
from gesso.engine import load_engine
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, create_model
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

REQUESTS = int(os.environ.get("STRICT_REQUESTS", "100"))
TOKENS = 160
KINDS: list[Callable[[random.Random], Any]] = [
    lambda rng: {"type": "string", "maxLength": rng.randint(4, 24)},
    lambda rng: {"type": "number"},
    lambda rng: {"type": "integer", "minimum": 0, "maximum": rng.randint(1, 9999)},
    lambda rng: {"type": "boolean"},
    lambda rng: {"enum": rng.sample(["bill", "ticket", "order", "note"], 3)},
    lambda rng: {"type": "string", "format": "date"},
    lambda rng: {"type": "array", "items": {"type": "integer", "maximum": 99}, "maxItems": 3},
    lambda rng: {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 12}]},
]
NAMES = ["customer", "total", "date", "kind", "paid", "lines", "reference"]

pytestmark = [
    pytest.mark.slow,
    # litellm and what it leans on, at their import
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    limits = Limits(side_by_side=8, waiting=64, tokens=1000)
    engine = load_engine("sketch")
    with serving(engine, host="127.0.0.1", port=0, keys=Keys(), limits=limits) as url:
        yield url


def drawn(number: int) -> tuple[dict[str, Any], str]:
    """A schema, as strict clients want it, and a document."""
    rng = random.Random(f"strict {number}")
    names = rng.sample(NAMES, rng.randint(1, 3))
    properties = {name: rng.choice(KINDS)(rng) for name in names}
    schema = {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }
    words = rng.choices(["Ada", "Byron", "Total", "12.50", "14/03/2026", "Norwich", "loaf"], k=8)
    return schema, f"Customer: {' '.join(words)}"


def judged(client: str, answer: Callable[[int, dict[str, Any], str], Any]) -> None:
    """Every answer is valid, or the campaign fails."""
    valid, wrong = 0, list[str]()
    for number in range(REQUESTS):
        schema, document = drawn(number)
        try:
            jsonschema.validate(answer(number, schema, document), schema)
            valid += 1
        except (jsonschema.ValidationError, ValueError) as error:
            wrong.append(f"{number}: {error}")
    print(f"\n{client}: {valid} of {REQUESTS} strict requests valid")
    assert not wrong, wrong[0]


def parsed_call(message: Any) -> Any:
    (call,) = message.tool_calls
    return json.loads(call.function.arguments)


def chat_request(number: int, schema: dict[str, Any], document: str) -> dict[str, Any]:
    """By a schema or, each second one, by a tool."""
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": document}],
        "max_tokens": TOKENS,
    }
    if number % 2:
        function = {"name": "save", "parameters": schema, "strict": True}
        choice = {"type": "function", "function": {"name": "save"}}
        return {
            **asked,
            "tools": [{"type": "function", "function": function}],
            "tool_choice": choice,
        }
    form = {"name": "record", "schema": schema, "strict": True}
    return {**asked, "response_format": {"type": "json_schema", "json_schema": form}}


def value_of(message: Any) -> Any:
    return parsed_call(message) if message.tool_calls else json.loads(message.content)


def test_openai_chat(url: str) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

        def answer(number: int, schema: dict[str, Any], document: str) -> Any:
            asked = chat_request(number, schema, document)
            made = client.chat.completions.create(model="sketch", seed=number, **asked)
            return value_of(made.choices[0].message)

        judged("openai, chat completions", answer)


def test_openai_responses(url: str) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

        def answer(number: int, schema: dict[str, Any], document: str) -> Any:
            form: Any = {"type": "json_schema", "name": "record", "schema": schema, "strict": True}
            with client.responses.stream(
                model="sketch", input=document, text={"format": form}, max_output_tokens=TOKENS
            ) as stream:
                return json.loads(stream.get_final_response().output_text)

        judged("openai, responses, streamed", answer)


def test_anthropic(url: str) -> None:
    with Anthropic(base_url=url, api_key="none", max_retries=0) as client:

        def answer(number: int, schema: dict[str, Any], document: str) -> Any:
            asked: dict[str, Any] = {
                "model": "sketch",
                "max_tokens": TOKENS,
                "messages": [{"role": "user", "content": document}],
            }
            if number % 2:
                tool: Any = {"name": "save", "input_schema": schema, "strict": True}
                choice: Any = {"type": "tool", "name": "save"}
                made = client.messages.create(**asked, tools=[tool], tool_choice=choice)
                return made.content[0].input
            form: Any = {"format": {"type": "json_schema", "schema": schema}}
            with client.messages.stream(**asked, output_config=form) as stream:
                return json.loads(stream.get_final_text())

        judged("anthropic", answer)


def test_pydantic_ai(url: str) -> None:
    types: list[Any] = [str, float, int, bool, list[int], str | None]

    async def told(record: type[BaseModel], number: int, document: str) -> Any:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            model = OpenAIChatModel("sketch", provider=OpenAIProvider(openai_client=client))
            output = ToolOutput(record) if number % 2 else NativeOutput(record)
            agent = Agent(model, output_type=output, retries=0)
            return (await agent.run(document, model_settings={"max_tokens": 100})).output

    def answer(number: int, schema: dict[str, Any], document: str) -> Any:
        rng = random.Random(number)
        fields: Any = {name: (rng.choice(types), ...) for name in schema["properties"]}
        record = create_model("Record", **fields)
        made = asyncio.run(told(record, number, document))
        assert isinstance(made, record)
        schema.clear()  # the agent's own model is the judge
        return {}

    judged("pydantic-ai", answer)


def test_litellm(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no network at its import
    import litellm

    def answer(number: int, schema: dict[str, Any], document: str) -> Any:
        made: Any = litellm.completion(
            model="openai/sketch",
            api_base=f"{url}/v1",
            api_key="none",
            seed=number,
            max_retries=0,
            **chat_request(number, schema, document),
        )
        return value_of(made.choices[0].message)

    judged("litellm", answer)
