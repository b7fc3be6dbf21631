"""One life of the connection to a server, in a task of its own: what the SDK opens in a task it
must close in the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from mcp import Client, MCPError
from mcp.client._transport import TransportStreams
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    PaginatedRequestParams,
    Tool,
)
from pydantic import ValidationError

from ..errors import ServerError
from .configuration import Entry
from .fate import Fate
from .offer import TOOLS
from .process import process
from .web import web

START_SECONDS = 60.0
"""Until a server has answered for the first time: it may have to be downloaded."""
LIST_SECONDS = 30.0

GONE = (CONNECTION_CLOSED, INVALID_REQUEST)
"""What the SDK says of a connection that has ended, and of an HTTP session that the server has
forgotten."""

Result = TypeVar("Result")


class Session:
    """Errors are `ServerError`, without the server's name."""

    def __init__(self, entry: Entry, folder: Path) -> None:
        self._entry = entry
        self._folder = folder
        self._fate = Fate()
        self._client: Client | None = None
        self._open = asyncio.Event()
        self._task = asyncio.create_task(self._live())

    @property
    def ended(self) -> bool:
        """It is of no use any more, though it may not be gone yet."""
        return self._fate.sealed

    @property
    def gone(self) -> bool:
        return self._task.done()

    async def begin(self) -> list[Tool]:
        """Return when the server is there, with the tools that it offers."""
        waits = asyncio.create_task(self._open.wait())
        await asyncio.wait(
            {waits, self._task}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        waits.cancel()
        if self._client is None:
            raise ServerError(
                self._fate.reason or f"is not there {START_SECONDS:g} s after its start"
            )
        return await self._ask(LIST_SECONDS, self._list)

    async def call(self, tool: str, arguments: dict[str, Any], seconds: float) -> CallToolResult:
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments))

        async def call(client: Client) -> CallToolResult:
            # Not `call_tool`: it holds results to the server's own schemas, which may hold patterns
            # that take for ever.
            return await client.session.send_request(request, CallToolResult)

        return await self._ask(seconds, call)

    def stop(self) -> None:
        if self._fate.sealed:
            return
        self._fate.seal("was stopped")
        if self._client is None:
            self._task.cancel()  # it waits for the server's first word

    async def close(self) -> None:
        self.stop()
        await asyncio.wait({self._task})

    async def _list(self, client: Client) -> list[Tool]:
        found: list[Tool] = []
        cursor = None
        for _ in range(TOOLS):
            page = await client.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            found += page.tools
            if len(found) > TOOLS:
                break
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise ServerError(f"offers more than the {TOOLS} tools that one server may")

    async def _ask(self, seconds: float, question: Callable[[Client], Awaitable[Result]]) -> Result:
        """The answer. A server that does not give it is stopped: it is begun anew when it is needed
        again."""
        assert self._client is not None
        try:
            async with asyncio.timeout(seconds):
                return await question(self._client)
        except TimeoutError:
            self.stop()
            raise ServerError(f"has not answered within {seconds:g} s, and was stopped") from None
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                # It is told a moment before what ended it.
                await asyncio.wait({self._task}, timeout=0.5)
            reason = self._fate.reason or error.error.message
            if error.code in GONE:
                self.stop()
            raise ServerError(reason) from None
        except (ValidationError, RuntimeError) as error:
            raise ServerError(f"gave an answer that is none: {_line(error)}") from None

    async def _live(self) -> None:
        try:
            async with Client(
                self._transport(), cache=None, client_info=Implementation(name="gesso", version="1")
            ) as client:
                self._client = client
                self._open.set()
                await self._fate.wait()
        except Exception as error:
            self._fate.seal(_line(_first(error)))
        finally:
            self._fate.seal("ended")

    def _transport(self) -> AbstractAsyncContextManager[TransportStreams]:
        entry = self._entry
        if entry.url is not None:
            return web(entry.url, entry.headers)
        assert entry.command is not None
        folder = self._folder / (entry.cwd or ".")
        return process([entry.command, *entry.args], entry.env, folder, self._fate)


def _first(error: BaseException) -> BaseException:
    """Of a group, the first one's reason."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _line(error: BaseException) -> str:
    if isinstance(error, MCPError):
        return error.error.message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
