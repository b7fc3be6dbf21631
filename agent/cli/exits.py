"""How an error leaves the command line: its line and its exit code."""

from __future__ import annotations

from typer import TyperException

from ..errors import AgentError, InstanceError, ListenError, RunError, UpdateError

FAILURE = 1
BAD_INPUT = 2


def exit_code(error: Exception) -> int | None:
    """The code of an error that a user can cause, `None` of any other: that one is a bug."""
    if isinstance(error, TyperException):
        return error.exit_code
    if isinstance(error, AgentError):
        failed = isinstance(error, InstanceError | ListenError | RunError | UpdateError)
        return FAILURE if failed else BAD_INPUT
    # Not above: these imports take time that `gesso --help` does not have.
    from ...memory import BlockError, FactError, InboxError, JobError, StoreError, TransferError
    from ...tools import ToolError

    bad = BlockError | FactError | InboxError | JobError | TransferError | ToolError
    if isinstance(error, bad):
        return BAD_INPUT
    if isinstance(error, StoreError):
        return FAILURE
    from ...engine import EngineError

    return BAD_INPUT if isinstance(error, EngineError) else None


def message(error: Exception) -> str:
    """One line."""
    text = error.format_message() if isinstance(error, TyperException) else str(error)
    return " ".join(text.split())
