"""A report of costs as the commands print it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from textwrap import fill
from typing import Any

from ..cost.breakeven import HORIZONS
from ..cost.peers import Line
from ..cost.report import Report, Row
from ..cost.words import in_currency, money, needed, per_million, verdicts
from .output import print_table

HEAD = 9
"""Letters of a line of a table's head."""


def print_report(report: Report) -> None:
    """What was generated and what it cost, by what the report tells apart; then the bills, and when
    the machine has paid for itself."""
    busy = "" if report.utilisation is None else f", {report.utilisation:.2%} of it generating"
    print_table(
        f"{report.since.astimezone():%Y-%m-%d %H:%M} to {report.until.astimezone():%Y-%m-%d %H:%M}:"
        f" {report.hours:,.1f} hours{busy}, on {report.terms.hardware}",
        (report.by, "turns", "prompt", "cached", "output", "seconds", "tokens/s"),
        [_work(row) for row in _with_total(report)],
        told=1,
    )
    _print_costs(report)


def print_month(report: Report) -> None:
    """The same of a month that is only thought of."""
    tokens = report.total.work.tokens * 24 / report.hours
    print(f"\nWhat if: {tokens:,.0f} tokens a day for a month, on {report.terms.hardware}")
    _print_costs(report)


def _print_costs(report: Report) -> None:
    terms, local = report.terms, report.total.local
    names = [bill.name.partition(" (")[0] for bill in report.total.bills]
    heads = ["records", "a record"] if report.by == "job" else []
    print_table(
        f"What it cost here, and what the same tokens would in the cloud, in {terms.currency}",
        (report.by, *heads, "here", *(fill(name, HEAD) for name in names)),
        [_cost(row, report) for row in _with_total(report)],
        told=1,
    )
    joules = "unknown" if local.joules is None else f"{local.joules:,.0f} J, {local.energy}"
    parts = [money(part, terms) for part in (local.electricity, local.idle, local.machine)]
    print(f"Here: electricity {parts[0]} ({joules}), while waiting {parts[1]}, machine {parts[2]}")
    tokens = report.total.work.tokens
    if tokens:
        sums = {"here": local.total}
        sums |= {
            name: float(in_currency(bill.dollars, terms))
            for name, bill in zip(names, report.total.bills, strict=True)
        }
        each = (f"{money(per_million(one, tokens), terms)} {name}" for name, one in sums.items())
        print(f"A million tokens, prompt and output: {', '.join(each)}")
        print_table(
            f"How the bills come about, in US dollars ({report.prices})",
            ("cloud model", "tokens", "number", "a million", "dollars"),
            [
                (name, _kind(line), f"{line.quantity:,.0f}", line.price.dollars, _six(line.dollars))
                for name, bill in zip(names, report.total.bills, strict=True)
                for line in bill.lines
            ],
            told=2,
        )
    evens = [
        (
            name,
            money(even.saving_a_month, terms),
            "never" if even.months is None else f"{even.months:,.1f}",
            *(needed(even, months) for months in HORIZONS),
        )
        for name, even in zip(names, report.break_evens, strict=True)
        if even is not None
    ]
    if evens:
        over = any("*" in cell for row in evens for cell in row)
        print_table(
            "When the machine has paid for itself: what it saves a month, the months it takes, and"
            f" the million tokens a day that pay it back in {', '.join(map(str, HORIZONS))} months"
            f"{' (* more than it can generate)' if over else ''}",
            ("against", "a month", "months", *map(str, HORIZONS)),
            evens,
            told=1,
        )
    for sentence in (*verdicts(report), *report.notes):
        print(sentence)


def _kind(line: Line) -> str:
    over = f" of prompts over {line.price.above:,}" if line.price.above else ""
    valid = f" ({line.price.valid})" if line.price.valid else ""
    return f"{line.kind}{over}{valid}"


def _six(dollars: Decimal) -> str:
    return f"{dollars:,.6f}"


def _with_total(report: Report) -> Sequence[Row]:
    return report.rows if len(report.rows) == 1 else [*report.rows, report.total]


def _work(row: Row) -> Sequence[Any]:
    work = row.work
    rate = work.output_tokens_per_second
    return (
        row.name,
        f"{work.generations:,}",
        f"{work.prompt_tokens:,}",
        f"{work.cached_tokens:,}",
        f"{work.output_tokens:,}",
        f"{work.seconds:,.1f}",
        "" if rate is None else f"{rate:,.1f}",
    )


def _cost(row: Row, report: Report) -> Sequence[Any]:
    terms, here = report.terms, row.local.total
    cells: list[Any] = [row.name]
    if report.by == "job":
        each = None if here is None or not row.records else here / row.records
        cells.append("" if row.records is None else f"{row.records:,}")
        cells.append("" if each is None else money(each, terms))
    bills = (in_currency(bill.dollars, terms) for bill in row.bills)
    return [*cells, *(money(one, terms) for one in (here, *bills))]
