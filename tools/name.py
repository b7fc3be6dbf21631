"""What a tool is called: in an agent's file, and towards the model.

A built-in tool has one name. That of an MCP server is `SERVER/TOOL` in an agent's file, in its
`tools:` as in its rules, and `SERVER__TOOL` towards the model, whose names hold no slash; all the
server's tools are `SERVER/*`. A server's name holds no `__`, so that no two tools of two servers
can come to one name.
"""

from __future__ import annotations

import re

JOINT = "__"
ALL = "/*"


def called(name: str) -> str:
    """The name towards the model of a tool that an agent's file names so."""
    server, slash, tool = name.partition("/")
    return server + JOINT + re.sub(r"[^A-Za-z0-9_-]", "_", tool) if slash else name


def names(written: str, name: str) -> bool:
    """Whether what an agent's file has written names the tool that the model calls `name`."""
    if written.endswith(ALL):
        return name.startswith(written.removesuffix(ALL) + JOINT)
    return called(written) == name
