"""An agent of `pydantic-ai` on `gesso serve`: its tools, and a typed result."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from receipts_to_serve import RECEIPT, Bill

Kind = type[OpenAIChatModel] | type[OpenAIResponsesModel]


def run(url: str, kind: Kind, agent: Agent[None, Any]) -> Any:
    """The result of an agent, told of a receipt."""

    async def told() -> Any:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            model: Model[Any] = kind("sketch", provider=OpenAIProvider(openai_client=client))
            return await agent.run(RECEIPT, model=model)

    return asyncio.run(told())


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
def test_a_typed_result_by_a_tool(url: str, kind: Kind) -> None:
    assert isinstance(run(url, kind, Agent(output_type=Bill, retries=3)).output, Bill)


def test_a_typed_result_by_a_schema(url: str) -> None:
    agent = Agent(output_type=NativeOutput(Bill))
    assert isinstance(run(url, OpenAIChatModel, agent).output, Bill)


def test_an_agent_calls_its_tools(url: str) -> None:
    saved: list[float] = []
    agent = Agent(retries=3)

    @agent.tool_plain
    def save(customer: str, total: float) -> str:
        """Save the bill."""
        saved.append(total)
        return "saved"

    answer = run(url, OpenAIChatModel, agent)
    assert saved
    assert isinstance(answer.output, str)
    assert answer.usage.output_tokens > 0
