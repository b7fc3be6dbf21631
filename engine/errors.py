"""Everything that can go wrong in the engine room.

EngineError
├── CheckpointError      a model folder is missing, incomplete or not what its config says
├── RequestError         a request that this model cannot serve as it stands
│   ├── ContextError     prompt and answer do not fit in the model's context
│   └── BudgetError      `max_tokens` is too small for the shortest answer of the constraint
├── ConstraintError      a schema, tool or pattern that cannot be compiled exactly
├── AnswerError          the finished answer breaks what no automaton can hold it to
├── CapacityError        the device's memory was used up while a turn was written
├── TurnCancelledError   the turn was given up before its end
└── ServerError          a remote engine's server is busy or gone, or cannot be understood
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .request import Usage


class EngineError(Exception):
    """Base class of the engine room's errors."""


class CheckpointError(EngineError):
    """A model folder is missing, incomplete, corrupt, or does not match its own configuration."""


class RequestError(EngineError):
    """A request that the loaded model cannot serve as it stands."""


class ContextError(RequestError):
    """Prompt and answer together are longer than the model's context."""


class BudgetError(RequestError):
    """`max_tokens` is too small for the shortest text that satisfies the constraint."""


class ConstraintError(EngineError):
    """A schema, tool declaration or pattern that cannot be compiled exactly.

    `pointer` is the JSON pointer of the offending place (`""` is the whole document) and `keyword`
    the JSON Schema keyword there, or `None` where no keyword is to blame.
    """

    def __init__(self, message: str, *, pointer: str = "", keyword: str | None = None) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.keyword = keyword


class AnswerError(EngineError):
    """The finished answer breaks a keyword that can only be checked on a finished value
    (`uniqueItems`, …); `Constraint.checked` names them. Of a remote engine: no answer was valid.
    `usage` is what the turn took."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


class CapacityError(EngineError):
    """The device's memory was used up while a turn was written, although it was planned for:
    something else takes of it. Another time there may be enough."""


class TurnCancelledError(EngineError):
    """The turn was given up before its end, by whoever asked for it. `usage` is what it took."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


class ServerError(EngineError):
    """The server of a remote engine is busy or gone, or says what cannot be understood: another
    time it may answer. `usage` is what the turn took until then."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage
