"""`gesso mcp`, as the SDK's own client finds it over both transports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

CODE = (
    "from gesso.agent import models; from test_mcp_server import Clerk; "
    "models.load_engine = lambda model, *_, **__: Clerk(); "
    "from gesso.agent.cli import main; main()"
)
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}

Visit = Callable[[Client], Awaitable[None]]


class Clerk:
    """An engine that makes the call it is told to, or saves what it is told, and answers."""

    name = "scripted"
    device = "cpu"
    context_length = 4096
    sees = False

    def generate(self, request: Any) -> Any:
        from scripted import calls, says

        print("noise on the standard output")
        last = request.messages[-1]
        if last.role == "tool":
            return says(f"{last.name}: {last.content}")
        name, _, arguments = last.content.partition(" ")
        return calls((name, json.loads(arguments)))


@pytest.fixture
def clerk(project: Path) -> Path:
    (project / "inbox" / "a.txt").write_text("Brandt & Sons\n")
    (project / ".env").write_text("KEY=secret")
    (project / "agents" / "clerk.md").write_text(
        "---\nname: clerk\ndescription: Keeps the books.\n"
        "tools: [read_file, save_record, shell]\nsandbox: none\n"
        "record:\n  company: {type: string, description: Company}\n---\nSave what you read.\n"
    )
    return project


def arguments(project: Path, *more: str) -> list[str]:
    return ["-c", CODE, "mcp", str(project), *more]


def over_pipes(project: Path, visit: Visit, *more: str) -> None:
    parameters = StdioServerParameters(
        command=sys.executable, args=arguments(project, *more), env=ENVIRONMENT
    )

    async def go() -> None:
        async with Client(parameters) as client:
            await visit(client)

    asyncio.run(go())


@pytest.fixture
def served(clerk: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server on a port, and the file of its token."""
    process = subprocess.Popen(
        [sys.executable, *arguments(clerk, "--http", "0")],
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "MCP at " not in said:
        said = process.stderr.readline()
        assert said, process.poll()
    yield said.strip().rpartition(" ")[2], clerk / ".gesso" / "mcp-token"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


@asynccontextmanager
async def client_of(url: str, **headers: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def texts(result: CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, TextContent)]


async def visit(client: Client) -> None:
    """What a client finds, whatever the transport."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == [
        *("run_clerk", "read_file", "read_lines", "list_files", "search_files", "query", "recall")
    ]
    run = tools["run_clerk"]
    assert run.description == (
        "Give the agent clerk a message; returns its answer. Keeps the books."
    )
    assert run.input_schema["required"] == ["message"]
    assert tools["read_file"].annotations is not None
    assert tools["read_file"].annotations.read_only_hint
    read = await client.call_tool("read_file", {"path": "inbox/a.txt"})
    assert (texts(read), read.is_error) == (["Brandt & Sons\n"], False)
    ran = await client.call_tool("run_clerk", {"message": 'read_file {"path": "inbox/a.txt"}'})
    assert (texts(ran), ran.is_error) == (["read_file: Brandt & Sons\n"], False)
    saved = await client.call_tool("run_clerk", {"message": 'save_record {"company": "Brandt"}'})
    assert texts(saved) == ["save_record: saved", '{"company": "Brandt"}']


def test_a_client_finds_agents_and_tools_over_pipes(clerk: Path) -> None:
    over_pipes(clerk, visit)


def test_a_client_finds_them_over_http(served: tuple[str, Path]) -> None:
    url, file = served

    async def go() -> None:
        token = file.read_text().strip()
        async with client_of(url, Authorization=f"Bearer {token}") as client:
            await visit(client)

    asyncio.run(go())


def test_over_http_a_token_is_needed_and_no_other_page_may_use_it(
    served: tuple[str, Path],
) -> None:
    url, file = served
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accepted = {"Accept": "application/json, text/event-stream"}
    right = accepted | {"Authorization": f"Bearer {token}"}
    assert httpx2.post(url, json=ping, headers=accepted).status_code == 401
    wrong = accepted | {"Authorization": "Bearer x"}
    assert httpx2.post(url, json=ping, headers=wrong).status_code == 401
    elsewhere = right | {"Origin": "https://evil.example.com"}
    assert httpx2.post(url, json=ping, headers=elsewhere).status_code == 403
    rebound = right | {"Host": "evil.example.com"}
    assert httpx2.post(url, json=ping, headers=rebound).status_code == 421


def test_what_goes_wrong_is_told(clerk: Path) -> None:
    async def visit(client: Client) -> None:
        for name, given, complaint in (
            ("read_file", {"path": "../secret"}, "error: ../secret: outside the workspace"),
            ("read_file", {"path": ".env"}, "error: .env: hidden files are outside the workspace"),
            ("read_file", {}, "error: read_file: path: Field required"),
            ("write_file", {"path": "a", "text": "x"}, "error: no tool is called write_file"),
            ("run_clerk", {"message": ""}, "error: run_clerk: message: a text is needed"),
            ("run_clerk", {"message": "fly now"}, "failed: JSONDecodeError: "),
        ):
            result = await client.call_tool(name, given)
            assert result.is_error, name
            assert texts(result)[0].startswith(complaint)

    over_pipes(clerk, visit)


def test_a_client_s_words_are_not_the_person_s(clerk: Path) -> None:
    """`shell` without a sandbox sends: the agent may use it, but not at a stranger's word."""

    async def visit(client: Client) -> None:
        result = await client.call_tool("run_clerk", {"message": 'shell {"command": "id"}'})
        assert not result.is_error
        (text,) = texts(result)
        assert text.startswith('waiting: shell({"command": "id"}) waits for approval: shell sends')

    over_pipes(clerk, visit)


def test_what_is_offered_can_be_chosen(clerk: Path) -> None:
    async def visit(client: Client) -> None:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["remember", "recall", "write_file"]
        said = {"text": "The VAT of books is 7 percent.", "shared": True}
        remembered = await client.call_tool("remember", said)
        assert not remembered.is_error
        recalled = await client.call_tool("recall", {"query": "VAT books"})
        (found,) = json.loads(texts(recalled)[0])
        assert found["text"] == "The VAT of books is 7 percent."
        refused = await client.call_tool("write_file", {"path": "agents/x.md", "text": ""})
        assert refused.is_error

    over_pipes(clerk, visit, "--tools", "remember, recall,write_file")


def gesso(*more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, "mcp", *more],
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_start_is_one_line(clerk: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for more, code, complaint in (
            (
                [str(clerk), "--tools", "shell"],
                2,
                "shell cannot be offered; what can is run_clerk,",
            ),
            ([str(tmp_path / "none")], 2, "no agents; write one to "),
            ([str(clerk), "--http", port], 1, f"error: port {port}: Address already in use"),
        ):
            ended = gesso(*more)
            assert (ended.returncode, ended.stdout) == (code, "")
            assert complaint in ended.stderr.splitlines()[-1]


def test_it_ends_with_its_input_and_prints_nothing_of_its_own(clerk: Path) -> None:
    ended = gesso(str(clerk))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
