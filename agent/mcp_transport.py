"""An MCP server on this process's standard input and output, or on a port of this machine.

On a port every request shows a token, and comes from no other web page: the SDK checks `Host` and
`Origin`. The token lies in a file that only the user can read.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import socket
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import RunError

log = logging.getLogger("gesso")

HOST = "127.0.0.1"


async def over_pipes(server: Server[Any]) -> None:
    """Until the standard input ends. What else is printed meanwhile goes to the standard error."""
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def over_http(server: Server[Any], port: int, token: str) -> None:
    """Until SIGINT or SIGTERM.

    Raises:
        RunError: the port cannot be had.
    """
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise RunError(f"port {port}: {error.strerror or error}") from None
    log.info("MCP at http://%s:%d/mcp", HOST, listening.getsockname()[1])
    application = _Guard(server.streamable_http_app(host=HOST), token)
    settings = uvicorn.Config(application, log_level="warning", access_log=False)
    with listening:
        await uvicorn.Server(settings).serve(sockets=[listening])


def token_in(file: Path) -> str:
    """The token of the file, which is made where there is none."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return file.read_text(encoding="ascii").strip()
    with open(descriptor, "w", encoding="ascii") as opened:
        token = secrets.token_urlsafe(32)
        opened.write(f"{token}\n")
    return token


class _Guard:
    """Lets through requests with `Authorization: Bearer TOKEN`."""

    def __init__(self, application: ASGIApp, token: str) -> None:
        self._application = application
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(shown, self._wanted):
                refusal = PlainTextResponse("a token is needed", 401)
                return await refusal(scope, receive, send)
        return await self._application(scope, receive, send)
