"""A project as an MCP server: its agents, and some of its tools, for other programs' models.

An agent is a tool `run_NAME` that takes a message and gives its answer. What the client's model
writes is no word of the person's: the run begins as one that has read from outside, so that calls
that send or spend are asked about. The tools are confined to the project's folder and, of the
memory, to what is shared.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.to_thread
from mcp.server.lowlevel import Server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

from ..memory import StoreError
from ..tools import Context, Registry, ToolError, Workspace
from .agent import Agent
from .errors import AgentError, ProjectError
from .runtime import Runtime

log = logging.getLogger("gesso")

READING = ("read_file", "read_lines", "list_files", "search_files", "query", "recall")
"""Tools that are offered where nothing else is asked for: they change nothing."""
WRITING = (
    *("write_file", "edit_file", "remember", "forget"),
    *("append_to_block", "replace_in_block"),
)
RUN = "run_"
CLIENT = "mcp client"
"""Whose memory it is: no agent's, which have no blanks in their names."""

MESSAGE: dict[str, Any] = {
    "type": "object",
    "properties": {"message": {"type": "string", "minLength": 1, "description": "What to tell it"}},
    "required": ["message"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Offered:
    """`call` blocks, and gives the texts of the result and whether they tell of a failure."""

    tool: Tool
    call: Callable[[Mapping[str, Any]], tuple[list[str], bool]]


def server_of(runtime: Runtime, names: Sequence[str] | None = None) -> Server[Any]:
    """A server of the named tools of a project whose agents are loaded; without names of all its
    agents and what only reads.

    Raises:
        ProjectError: a name is of no tool that can be offered.
    """
    offered = _offered(runtime, names)

    async def list_tools(*_: Any) -> ListToolsResult:
        return ListToolsResult(tools=[one.tool for one in offered.values()])

    async def call_tool(_: Any, parameters: CallToolRequestParams) -> CallToolResult:
        one = offered.get(parameters.name)
        if one is None:
            return _result([f"error: no tool is called {parameters.name}"], failed=True)
        # A client that no longer waits does not hold up others; the run goes on.
        work = partial(_called, one, parameters.arguments or {})
        return _result(*await anyio.to_thread.run_sync(work, abandon_on_cancel=True))

    return Server("gesso", on_list_tools=list_tools, on_call_tool=call_tool)


def _offered(runtime: Runtime, names: Sequence[str] | None) -> dict[str, Offered]:
    agents = {f"{RUN}{name}": agent for name, agent in runtime.agents.items()}
    offered: dict[str, Offered] = {}
    for name in [*agents, *READING] if names is None else names:
        if name in agents:
            offered[name] = _agent(runtime, name, agents[name])
        elif name in READING or name in WRITING:
            offered[name] = _built_in(runtime, name)
        else:
            known = ", ".join([*agents, *READING, *WRITING])
            raise ProjectError(f"{name} cannot be offered; what can is {known}")
    return offered


def _agent(runtime: Runtime, name: str, agent: Agent) -> Offered:
    def call(arguments: Mapping[str, Any]) -> tuple[list[str], bool]:
        message = arguments.get("message")
        if not isinstance(message, str) or not message:
            raise ToolError(f"{name}: message: a text is needed")
        run = runtime.run(agent.name, message, outside=True)
        last = runtime.store.messages(run.id)[-1:]
        texts = [message.content for message in last if message.role == "assistant"]
        texts += [
            json.dumps(record.data, ensure_ascii=False)
            for record in runtime.store.records(run=run.id)
        ]
        if run.state != "done":
            texts = [f"{run.state}: {run.reason} (run {run.id})"]
        return texts, run.state not in ("done", "waiting")

    description = f"Give the agent {agent.name} a message; returns its answer. {agent.description}"
    hints = ToolAnnotations(read_only_hint=False)
    return Offered(
        Tool(
            name=name,
            description=description.strip(),
            input_schema=MESSAGE,
            annotations=hints,
        ),
        call,
    )


def _built_in(runtime: Runtime, name: str) -> Offered:
    (tool,) = Registry().select([name])
    workspace = Workspace(runtime.folder)

    def call(arguments: Mapping[str, Any]) -> tuple[list[str], bool]:
        context = Context(workspace, runtime.store, "", CLIENT, uuid.uuid4().hex)
        result = tool.call(arguments, context)
        return [
            result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        ], False

    hints = ToolAnnotations(read_only_hint=name in READING, open_world_hint=False)
    return Offered(
        Tool(
            name=name,
            description=tool.description,
            input_schema=dict(tool.parameters),
            annotations=hints,
        ),
        call,
    )


def _called(one: Offered, arguments: Mapping[str, Any]) -> tuple[list[str], bool]:
    try:
        return one.call(arguments)
    except (AgentError, StoreError, ToolError) as error:
        return [f"error: {error}"], True
    except Exception as error:
        log.exception("%s: failed", one.tool.name)
        return [f"error: {type(error).__name__}: {error}"], True


def _result(texts: Sequence[str], failed: bool) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text) for text in texts], is_error=failed
    )
