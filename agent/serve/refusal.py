"""Why a request is not served, before it takes the shape of the API that it came by."""

from __future__ import annotations

from typing import Literal

from ...engine import (
    AnswerError,
    BudgetError,
    CapacityError,
    ConstraintError,
    ContextError,
    EngineError,
    RequestError,
)

Kind = Literal["request", "key", "missing", "large", "unanswerable", "busy", "closing", "broken"]

EXHAUSTED_SECONDS = 10
"""After which memory that is used up may be free again."""


class Refusal(Exception):  # noqa: N818 - an answer
    """A request is answered with this status and a reason. `param` names the field to blame, and
    `retry_after` the seconds after which it may go better."""

    def __init__(
        self,
        status: int,
        kind: Kind,
        what: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(what)
        self.status, self.what = status, what
        self.kind: Kind = kind
        self.param, self.code, self.retry_after = param, code, retry_after


def wrong(param: str, what: str, *, code: str | None = None) -> Refusal:
    """A field of the request is wrong."""
    return Refusal(400, "request", f"{param}: {what}", param=param, code=code)


def refusal_of(error: EngineError, *, schema: str, messages: str, tokens: str) -> Refusal:
    """What the engine says against a request, of which these are the names of the fields."""
    what = str(error)
    if isinstance(error, ContextError):
        return Refusal(400, "request", what, param=messages, code="context_length_exceeded")
    if isinstance(error, BudgetError):
        return Refusal(400, "request", f"{tokens}: {what}", param=tokens)
    if isinstance(error, ConstraintError):
        return Refusal(400, "request", f"{schema}: {what}", param=schema, code="invalid_schema")
    if isinstance(error, RequestError):
        return Refusal(400, "request", what)
    if isinstance(error, AnswerError):
        return Refusal(422, "unanswerable", f"{what}; ask again, with another seed")
    if isinstance(error, CapacityError):
        return Refusal(503, "busy", what, retry_after=EXHAUSTED_SECONDS)
    return Refusal(500, "broken", what)
