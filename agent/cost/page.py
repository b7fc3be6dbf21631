"""A report as one HTML file that can be mailed: no script, nothing that is fetched."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ..errors import OutputError
from .breakeven import HORIZONS
from .chart import svg_of
from .report import Report
from .words import in_currency, money, needed, verdicts

TEMPLATE = Path(__file__).with_name("page.html")


def page_of(report: Report, month: Report | None = None) -> str:
    """The page; with `month`, what if it went on like that. There is a chart where matplotlib is
    installed and the report is by days."""
    chart = ""
    if report.by == "day" and len(report.rows) > 1:
        with suppress(OutputError):
            chart = svg_of(report)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["money"] = lambda amount: money(amount, report.terms)
    environment.filters["there"] = lambda bill: in_currency(bill.dollars, report.terms)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=report,
        month=month,
        chart=Markup(chart),
        verdicts=verdicts,
        needed=needed,
        horizons=HORIZONS,
    )
