"""`gesso mcp`: a project's agents and tools, for other programs by the Model Context Protocol."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from .options import Folder

Tools = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="What to offer: run_NAME for an agent, read_file, recall, write_file and others; "
        "without it all agents and what only reads.",
    ),
]
Port = Annotated[
    int | None,
    typer.Option("--http", metavar="PORT", help="Serve on this port of this machine instead."),
]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="A model instead of those in the agents' files.")
]


def mcp(
    folder: Folder = Path(), tools: Tools = None, http: Port = None, model: Model = None
) -> None:
    """Serve DIR's agents and tools to an MCP client, on standard input and output."""
    from ..errors import ProjectError
    from ..log import redactor_of, start
    from ..runtime import Runtime, agents_of
    from ..state import SECRETS, state_of

    try:
        from ..http import token_in
        from ..mcp_server import server_of
        from ..mcp_transport import over_http, over_pipes
    except ImportError as error:
        what = "needs the MCP SDK: pip install 'gesso[mcp]'"
        raise ProjectError(f"gesso mcp {what} ({error.name} is missing)") from None

    handler = start(logging.INFO if http is not None else logging.WARNING)
    agents = agents_of(folder)  # before a project is made of a folder that is none
    secrets = [name for agent in agents for name in agent.secrets]
    handler.addFilter(redactor_of(secrets, state_of(folder.resolve()) / SECRETS))
    names = None if tools is None else [name.strip() for name in tools.split(",")]
    with Runtime(folder, engine=model, listen=False) as runtime:
        runtime.load()
        server = server_of(runtime, names)
        if http is None:
            # A thread waits for the standard input, and hears of nothing else.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            asyncio.run(over_pipes(server))
        else:
            file = state_of(runtime.folder) / "mcp-token"
            token = token_in(file)
            logging.getLogger("gesso").info("Authorization: Bearer and what %s holds", file)
            asyncio.run(over_http(server, http, token))
