"""The model on a canvas: messages and a constraint in, text, tool calls and a usage record out.

Knows nothing of agents, of tools that run, or of databases.
"""

from .constraint import (
    Constraint,
    choice,
    either,
    free_text,
    json_schema,
    lark,
    regex,
    sequence,
    tools,
)
from .engine import Engine, Event, load_engine
from .errors import (
    AnswerError,
    BudgetError,
    CapacityError,
    CheckpointError,
    ConstraintError,
    ContextError,
    EngineError,
    RequestError,
    ServerError,
    TurnCancelledError,
)
from .plan import Plan
from .remote import AnyEngine, RemoteEngine
from .request import (
    Commit,
    Draft,
    Message,
    Priority,
    Request,
    Result,
    ToolCall,
    ToolDeclaration,
    Usage,
)
from .scheduler import Ticket

__all__ = [
    "AnswerError",
    "AnyEngine",
    "BudgetError",
    "CapacityError",
    "CheckpointError",
    "Commit",
    "Constraint",
    "ConstraintError",
    "ContextError",
    "Draft",
    "Engine",
    "EngineError",
    "Event",
    "Message",
    "Plan",
    "Priority",
    "RemoteEngine",
    "Request",
    "RequestError",
    "Result",
    "ServerError",
    "Ticket",
    "ToolCall",
    "ToolDeclaration",
    "TurnCancelledError",
    "Usage",
    "choice",
    "either",
    "free_text",
    "json_schema",
    "lark",
    "load_engine",
    "regex",
    "sequence",
    "tools",
]
