"""The tools room: what an agent may do, and the folder it may do it in."""

from .errors import (
    ArgumentError,
    ToolDefinitionError,
    ToolError,
    ToolFailedError,
    UnknownToolError,
    WorkspaceError,
)
from .registry import Registry
from .tool import Context, Tool, tool
from .workspace import Workspace

__all__ = [
    "ArgumentError",
    "Context",
    "Registry",
    "Tool",
    "ToolDefinitionError",
    "ToolError",
    "ToolFailedError",
    "UnknownToolError",
    "Workspace",
    "WorkspaceError",
    "tool",
]
