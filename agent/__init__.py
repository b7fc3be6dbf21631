"""The agent room: agents, the durable runs they make and what starts them, and document jobs.

The names are loaded when they are first used: `gesso --help` needs neither torch nor dbos.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import Agent
    from .errors import AgentError
    from .jobs.extract import extract
    from .runtime import Runtime

__all__ = ["Agent", "AgentError", "Runtime", "extract"]

_HOMES = {
    "Agent": ".agent",
    "AgentError": ".errors",
    "Runtime": ".runtime",
    "extract": ".jobs.extract",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(_HOMES[name], __name__), name)
