"""Reports in words and as JSON: sums of money, and who is cheaper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from .breakeven import BreakEven
from .hardware import Terms
from .report import Report, Row


def money(amount: float | Decimal | None, terms: Terms) -> str:
    """In the terms' currency; small sums with as many digits as it takes to see them."""
    if amount is None:
        return "unknown"
    value = float(amount)
    digits = 2 if abs(value) >= 1 or not value else 4 if abs(value) >= 0.01 else 6
    sign, rest = ("-" if value < 0 else ""), f"{abs(value):,.{digits}f}"
    return f"{sign}${rest}" if terms.currency == "USD" else f"{sign}{rest} {terms.currency}"


def in_currency(dollars: Decimal, terms: Terms) -> Decimal:
    return dollars * Decimal(str(terms.rate))


def per_million(amount: float | Decimal | None, tokens: int) -> float | None:
    return None if amount is None or not tokens else float(amount) / tokens * 1e6


def verdicts(report: Report) -> Sequence[str]:
    """Of each cloud model: which is cheaper, and when the machine has paid for itself."""
    terms, here = report.terms, report.total.local.total
    found = []
    for bill, even in zip(report.total.bills, report.break_evens, strict=True):
        there = float(in_currency(bill.dollars, terms))
        if here is None:
            known = money(there, terms)
            found.append(f"{bill.name} would charge {known}; what it costs here is unknown")
            continue
        cheaper = "the cloud is" if there < here else "this machine is"
        less = money(abs(here - there), terms)
        found.append(
            f"{bill.name}: {money(there, terms)} there, {money(here, terms)} here: {cheaper}"
            f" cheaper by {less}{_pays_back(even, terms)}"
        )
    return found


def _pays_back(even: BreakEven | None, terms: Terms) -> str:
    if even is None:
        return ""
    if even.months is None:
        loss = money(-even.saving_a_month, terms)
        return (
            f"; it never pays back at this rate: its electricity is {loss} a month over that bill"
        )
    return f"; it pays back in {even.months:,.1f} months at this rate"


def costs_told(electricity: float | None, bills: Mapping[str, Decimal], terms: Terms) -> str:
    """What some work cost by itself, here and there; `bills` are in dollars, by model."""
    there = [f"{money(in_currency(d, terms), terms)} {name}" for name, d in bills.items()]
    return f"electricity {money(electricity, terms)}; the cloud would charge {', '.join(there)}"


def needed(even: BreakEven, months: int) -> str:
    """How many million tokens a day pay the machine back in so many months; with a star where it
    cannot generate as many."""
    tokens = even.tokens_a_day[months]
    if tokens is None:
        return "never"
    over = even.capacity is not None and tokens > even.capacity
    return f"{tokens / 1e6:,.2f}{'*' if over else ''}"


def report_json(report: Report) -> dict[str, Any]:
    """All of it, with the sums that follow from it."""
    return asdict(report) | {
        "rows": [_row_json(row, report) for row in report.rows],
        "total": _row_json(report.total, report),
        "utilisation": report.utilisation,
        "verdicts": verdicts(report),
    }


def _row_json(row: Row, report: Report) -> dict[str, Any]:
    work, tokens = row.work, row.work.tokens
    rates = {"output_tokens_per_second": work.output_tokens_per_second}
    rates["steps_per_canvas"] = work.steps_per_canvas
    here = row.local.total
    local = {"total": here, "per_million_tokens": per_million(here, tokens)}
    if row.records:
        local["per_record"] = None if here is None else here / row.records
    bills = []
    for bill in row.bills:
        cost = in_currency(bill.dollars, report.terms)
        sums = {"cost": cost, "per_million_tokens": per_million(cost, tokens)}
        bills.append(asdict(bill) | sums)
    return asdict(row) | {
        "work": asdict(work) | rates,
        "local": asdict(row.local) | local,
        "bills": bills,
    }
