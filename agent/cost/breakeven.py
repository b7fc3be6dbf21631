"""When a machine has paid for itself against a cloud model.

A month's saving is the cloud's bill less the electricity of the same work and of the hours in which
the machine waits. The price divided by it is the months to pay back. Turned round: so many tokens a
day save the price in so many months, if each saves anything at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .hardware import HOURS_A_MONTH, Terms

HORIZONS = (12, 24, 36)
"""Months."""
DAYS_A_MONTH = HOURS_A_MONTH / 24


@dataclass(frozen=True)
class Rates:
    """What a month takes: tokens in and out, the cloud's bill for them, the electricity of
    generating them here, and the hours that takes."""

    tokens: float
    cloud: float
    electricity: float | None
    busy_hours: float


@dataclass(frozen=True)
class BreakEven:
    """`months` to pay back at the present rate, `None` where it never does. `tokens_a_day` by the
    months in which that many would pay the machine back, `None` where no number does. `capacity`
    is how many tokens a day the machine can generate at its present speed."""

    saving_a_month: float
    months: float | None
    tokens_a_day: Mapping[int, float | None]
    capacity: float | None


def break_even(rates: Rates, terms: Terms) -> BreakEven | None:
    """`None` where the machine's price, its electricity or the tokens are unknown."""
    idle_an_hour = terms.idle_an_hour
    if terms.price is None or rates.electricity is None or idle_an_hour is None:
        return None
    if not rates.tokens:
        return None
    idle_hours = max(0.0, HOURS_A_MONTH - rates.busy_hours)
    saving = rates.cloud - rates.electricity - idle_an_hour * idle_hours
    # Each token saves its place in the bill, costs its electricity, and spares the machine to wait.
    spared = idle_an_hour * rates.busy_hours
    worth = (rates.cloud - rates.electricity + spared) / rates.tokens
    needed = {
        months: (terms.price / months + idle_an_hour * HOURS_A_MONTH) / worth / DAYS_A_MONTH
        if worth > 0
        else None
        for months in HORIZONS
    }
    capacity = rates.tokens / rates.busy_hours * 24 if rates.busy_hours else None
    return BreakEven(saving, terms.price / saving if saving > 0 else None, needed, capacity)
