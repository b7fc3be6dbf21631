"""The cost over time, drawn: here and at each cloud model, summed up day by day."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from ..errors import OutputError
from .report import Report
from .words import in_currency

TERMINAL = "-"
HERE = "here"
FORMATS = (".png", ".svg")
HEIGHT = 20


def series_of(report: Report) -> tuple[Sequence[date], Mapping[str, Sequence[float]]]:
    """What was spent by the end of each day of a report by days. The machine's price and what it
    draws while it waits go by the clock, the rest by the work."""
    days = [date.fromisoformat(row.name) for row in report.rows]
    found: dict[str, Sequence[float]] = {}
    local = report.total.local
    if local.total is not None and days:
        standing = (local.machine or 0.0) + (local.idle or 0.0)
        span = (days[-1] - days[0]).days + 1
        worked = accumulate(row.local.electricity or 0.0 for row in report.rows)
        gone = [((day - days[0]).days + 1) / span for day in days]
        found[HERE] = [part * standing + sum_ for part, sum_ in zip(gone, worked, strict=True)]
    for number, bill in enumerate(report.total.bills):
        bills = (row.bills[number].dollars for row in report.rows)
        found[bill.name] = [float(in_currency(sum_, report.terms)) for sum_ in accumulate(bills)]
    return days, found


def draw(report: Report, target: str) -> None:
    """Draw to the terminal (`-`) or a file.

    Raises:
        OutputError: the file is of no known kind or cannot be written, or what draws is missing.
    """
    if target == TERMINAL:
        _in_terminal(report)
        return
    if Path(target).suffix not in FORMATS:
        raise OutputError(f"{target}: a chart is a file of {' or '.join(FORMATS)}, or - for here")
    try:
        _figure(report).savefig(target, dpi=150)
    except OSError as error:
        raise OutputError(f"{target}: {error.strerror or error}") from None


def svg_of(report: Report) -> str:
    """The chart as SVG. Raises `OutputError` where what draws is missing."""
    file = io.StringIO()
    _figure(report).savefig(file, format="svg")
    text = file.getvalue()
    return text[text.index("<svg") :]


def _in_terminal(report: Report) -> None:
    import plotext

    days, series = series_of(report)
    plotext.clear_figure()
    plotext.date_form("Y-m-d")
    plotext.plotsize(None, HEIGHT)
    for name, values in series.items():
        plotext.plot([day.isoformat() for day in days], values, label=name)
    plotext.title(f"Cost so far, {report.terms.currency}")
    plotext.show()


def _figure(report: Report) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise OutputError("charts in files need matplotlib: pip install 'gesso[charts]'") from None
    days, series = series_of(report)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, values in series.items():
        style: dict[str, Any] = {"linewidth": 2.5, "color": "black"} if name == HERE else {}
        axes.plot(cast(Any, days), values, marker="o", markersize=3, label=name, **style)
    axes.set_ylabel(report.terms.currency)
    axes.set_title(f"Cost from {report.since:%Y-%m-%d}")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.autofmt_xdate()
    return figure
