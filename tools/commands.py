"""The tools that run a command line or a Python program in the workspace."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from .sandbox import Sandbox, run
from .tool import Context, Kind, Tool, tool

PROGRAM_LIMIT = 100_000
"""Characters; the kernel takes 131,072 bytes as one argument."""


def shell(sandbox: Sandbox) -> Tool:
    """The tool for command lines. Without a sandbox it has the network, and sends."""

    @tool(sends=sandbox == "none")
    def shell(
        command: Annotated[
            str, Kind.COMMAND, Field(max_length=PROGRAM_LIMIT, description="Command line for sh")
        ],
        context: Context,
    ) -> str:
        """Run a command line in the workspace."""
        return _run(["/bin/sh", "-c", command], sandbox, context)

    return shell


def python(sandbox: Sandbox) -> Tool:
    """The tool for Python programs. Without a sandbox it has the network, and sends."""

    @tool(sends=sandbox == "none")
    def python(
        program: Annotated[str, Field(max_length=PROGRAM_LIMIT, description="Python program")],
        context: Context,
    ) -> str:
        """Run a Python program in the workspace and read what it prints."""
        return _run([sys.executable, "-I", "-c", program], sandbox, context)

    return python


def _run(command: Sequence[str], sandbox: Sandbox, context: Context) -> str:
    return run(command, context.workspace, sandbox, blank=context.secrets.redactor.blank).text
