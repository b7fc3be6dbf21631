"""An MCP server on this process's standard input and output, or on a port of this machine.

On a port every request shows a token, and comes from no other web page: the SDK checks `Host` and
`Origin`. The token lies in a file that only the user can read.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from .errors import RunError
from .http import Guard

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
    application = Guard(server.streamable_http_app(host=HOST), token)
    settings = uvicorn.Config(application, log_level="warning", access_log=False)
    with listening:
        await uvicorn.Server(settings).serve(sockets=[listening])
