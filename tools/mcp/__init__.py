"""Tools of MCP servers: which servers there are, what they offer, how they are called."""

from .servers import Servers

__all__ = ["Servers"]
