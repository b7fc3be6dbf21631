"""Budgets: what one run may take, and what an agent's runs may take in a day.

Money is what the same tokens would have cost at a chosen cloud model: local work has no price of
its own, but a limit in dollars is how people think of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..memory import QUARTER, Spend
from .days import last_midnight
from .errors import CostError


def _known(peer: str) -> str:
    from .cost.peers import dollars_of

    try:
        dollars_of((), peer)
    except CostError as error:
        raise ValueError(str(error)) from None
    return peer


class Limits(BaseModel):
    """`tokens` counts prompt and output tokens, `seconds` the time of generations (and, in one run,
    of tool calls), `dollars` the tokens at the peer's prices; `None` is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    turns: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    dollars: float | None = Field(default=None, gt=0)


class Budget(Limits):
    """What one run may take before it is stopped; looked at before each turn. `day` is what all of
    the agent's runs may take between two midnights of the machine's own zone."""

    turns: int | None = Field(default=12, ge=1)
    tokens: int | None = Field(default=200_000, ge=1)
    seconds: float | None = Field(default=1800, gt=0)
    day: Limits = Limits()
    peer: Annotated[str, AfterValidator(_known)] = "google/gemma-4-26b-a4b-it-maas"


def spent(
    limits: Limits, spends: Sequence[Spend], peer: str, *, more_seconds: float = 0.0
) -> str | None:
    """The limit that what was spent has reached, in words; `None` while there is room."""
    turns = sum(spend.generations for spend in spends)
    tokens = sum(spend.tokens for spend in spends)
    seconds = more_seconds + sum(spend.seconds for spend in spends)
    if limits.turns is not None and turns >= limits.turns:
        return f"{limits.turns} turns"
    if limits.tokens is not None and tokens >= limits.tokens:
        return f"{limits.tokens} tokens"
    if limits.seconds is not None and seconds >= limits.seconds:
        return f"{limits.seconds:g} seconds"
    if limits.dollars is not None:
        from .cost.peers import dollars_of

        if dollars_of(spends, peer) >= limits.dollars:
            return f"{limits.dollars:g} dollars at {peer}"
    return None


def nearly(limits: Limits, share: float) -> Limits:
    """Limits that are reached at a share of these."""
    given = {name: value for name in Limits.model_fields if (value := getattr(limits, name))}
    whole = {"turns", "tokens"}
    return Limits(
        **{
            name: max(1, int(value * share)) if name in whole else value * share
            for name, value in given.items()
        }
    )


def today(now: datetime) -> list[datetime]:
    """The quarters of an hour since the last midnight: no cloud model's price changes in one."""
    first = last_midnight(now)
    count = int((now - first).total_seconds() // QUARTER) + 2
    return [first + timedelta(seconds=QUARTER * number) for number in range(count)]
