"""A project's MCP servers: begun when they are first needed, kept open, begun anew after they died.

All of them live on one thread with one event loop. What a server offers is taken once, when it is
first asked: a server cannot change afterwards what an agent was given. The SDK is imported when a
server is first needed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import SecretError, ServerError, ToolFailedError, UnknownToolError
from ..name import ALL, JOINT
from ..output import cut
from ..redactor import Redactor
from ..tool import Context, Tool
from .answer import text_of
from .configuration import Entry, filled, read_configuration
from .offer import Offer, Offers, offers

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

    from .session import Session

log = logging.getLogger("gesso")

Result = TypeVar("Result")

SLACK = 150.0
"""Seconds for beginning a server, beside the time that its call may take."""
CLOSING = 15.0
COMPLAINT = 2000
"""Characters of an error, which is often in the server's own words."""


class Servers:
    """Those of the project in `folder`; `secrets` is the file of its secrets.

    Raises:
        ServerError: the project's file of servers cannot be read.
    """

    def __init__(self, folder: Path, secrets: Path | None = None) -> None:
        self._folder = folder
        self._secrets = secrets
        self._configuration = read_configuration(folder)
        self._servers: dict[str, _Server] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def owner(self, tool: str) -> str | None:
        """The server to whose tools this name towards the model belongs."""
        server, joint, _ = tool.partition(JOINT)
        return server if joint and server in self._configuration.servers else None

    def tools(self, name: str) -> list[Tool]:
        """The tools that `SERVER/TOOL` or `SERVER/*` names.

        Raises:
            ServerError: there is no such server, or it cannot be had.
            UnknownToolError: it offers no such tool, or none that is fit.
        """
        server, _, tool = name.partition("/")
        entry = self._configuration.entry(server)
        offered = self._offers(server, entry)
        if name.endswith(ALL):
            if not offered.fit:
                raise UnknownToolError(f"{server}: offers no tool that is fit to be used")
            return [self._tool(server, entry, offer) for offer in offered.fit.values()]
        if tool in offered.refused:
            raise UnknownToolError(f"{name}: is refused: {offered.refused[tool]}")
        if tool not in offered.fit:
            known = ", ".join(sorted(offered.fit)) or "none"
            raise UnknownToolError(f"{server}: offers no tool {tool}; it has {known}")
        return [self._tool(server, entry, offered.fit[tool])]

    def close(self) -> None:
        """Stop the servers; a later call begins them again."""
        with self._lock:
            thread, loop = self._thread, self._loop
            self._thread = self._loop = None
            servers, self._servers = list(self._servers.values()), {}
        if thread is None or loop is None:
            return

        async def end() -> None:
            await asyncio.gather(*(server.close() for server in servers))

        try:
            asyncio.run_coroutine_threadsafe(end(), loop).result(CLOSING)
        except Late:
            log.warning("MCP servers do not stop, and are left alone")
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSING)

    def _tool(self, server: str, entry: Entry, offer: Offer) -> Tool:
        def run(arguments: Mapping[str, Any], context: Context) -> str:
            text, failed = self._call(server, entry, offer.tool, arguments)
            text = context.cut(text)
            if failed:
                raise ToolFailedError(f"{server}/{offer.tool}: {text}")
            return text

        return Tool(
            offer.name,
            offer.description,
            offer.parameters,
            run,
            sends=not entry.gesso.is_local(offer.tool),
            idempotent=entry.gesso.is_idempotent(offer.tool),
            foreign=True,
        )

    def _offers(self, server: str, entry: Entry) -> Offers:
        known = self._server(server, entry)
        with known.listing:
            if known.offers is None:
                known.offers = self._wait(server, known.begin(), SLACK)
                for tool, reason in known.offers.refused.items():
                    log.warning("%s/%s: is refused: %s", server, tool, reason)
            return known.offers

    def _call(
        self, server: str, entry: Entry, tool: str, arguments: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """What was answered, and whether that is a failure."""
        known = self._server(server, entry)
        seconds = entry.gesso.seconds
        work = known.call(tool, dict(arguments), seconds)
        result, redactor = self._wait(server, work, seconds + SLACK)
        return redactor.blank(text_of(result)), result.is_error

    def _server(self, name: str, entry: Entry) -> _Server:
        with self._lock:
            if name not in self._servers:
                self._servers[name] = _Server(name, entry, self._folder, self._secrets)
            return self._servers[name]

    def _wait(self, server: str, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result(seconds)
        except Late:
            future.cancel()
            raise ServerError(f"{server}: has not answered within {seconds:g} s") from None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()

                def serve() -> None:
                    try:
                        loop.run_forever()
                    finally:
                        loop.close()

                self._thread = threading.Thread(target=serve, name="mcp", daemon=True)
                self._thread.start()
            return self._loop


class _Server:
    """A server, whether it runs or not. `listing` is held while its offers are asked for."""

    def __init__(self, name: str, entry: Entry, folder: Path, secrets: Path | None) -> None:
        self.listing = threading.Lock()
        self.offers: Offers | None = None
        self._name = name
        self._entry = entry
        self._folder = folder
        self._secrets = secrets
        self._sessions: list[Session] = []
        self._beginning = asyncio.Lock()
        self._redactor = Redactor({})

    async def begin(self) -> Offers:
        """What it offers, of a session that is begun for it."""
        try:
            _, listed = await self._open()
        except (ServerError, SecretError) as error:
            raise self._error(error) from None
        shown = [
            one.model_copy(
                update={
                    "description": self._redactor.blank(one.description or ""),
                    "input_schema": self._redactor.blank(one.input_schema),
                }
            )
            for one in listed
        ]
        return offers(self._name, shown)

    async def call(
        self, tool: str, arguments: dict[str, Any], seconds: float
    ) -> tuple[CallToolResult, Redactor]:
        """The result, and what blanks the server's secrets in it."""
        try:
            session, _ = await self._open()
            return await session.call(tool, arguments, seconds), self._redactor
        except (ServerError, SecretError) as error:
            raise self._error(error, tool) from None

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in self._sessions))

    async def _open(self) -> tuple[Session, Sequence[Listed]]:
        """The session that is open, or a new one with what it offers."""
        async with self._beginning:
            self._sessions = [session for session in self._sessions if not session.gone]
            if self._sessions and not self._sessions[-1].ended:
                return self._sessions[-1], ()
            try:
                from .session import Session
            except ImportError as error:
                what = "MCP servers need the SDK: pip install 'gesso[mcp]'"
                raise ServerError(f"{what} ({error.name} is missing)") from None
            ready, self._redactor = filled(
                self._entry, environment=os.environ, secrets=self._secrets
            )
            log.info("%s: MCP server begins", self._name)
            session = Session(ready, self._folder)
            self._sessions.append(session)
            try:
                return session, await session.begin()
            except ServerError:
                session.stop()
                raise

    def _error(self, error: Exception, tool: str | None = None) -> ServerError:
        where = self._name if tool is None else f"{self._name}/{tool}"
        complaint = self._redactor.blank(f"MCP server {where}: {error}")
        return ServerError(cut(complaint, COMPLAINT))
