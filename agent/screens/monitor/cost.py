"""Cost: what the work costs here and in the cloud, day by day."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static
from textual_plotext import PlotextPlot

from ...cost.words import per_million
from .pane import Pane


class CostPane(Pane):
    def __init__(self) -> None:
        super().__init__()
        self._report: Any = None

    def compose(self) -> ComposeResult:
        yield PlotextPlot(id="plot")
        with VerticalScroll():
            yield Static(id="verdicts", markup=False)

    async def refreshed(self) -> None:
        self._report = await self.monitor.control.get("/v1/cost", by="day")
        self._plot()

    def _plot(self) -> None:
        report = self._report
        widget = self.query_one(PlotextPlot)
        plot = widget.plt
        plot.clear_figure()
        rows = report["rows"]
        days = [row["name"] for row in rows]
        plot.date_form("Y-m-d")
        here = [row["local"]["total"] for row in rows]
        bills = report["total"]["bills"]
        costs = {
            bill["name"]: [row["bills"][number]["cost"] for row in rows]
            for number, bill in enumerate(bills)
        }
        if None not in here:
            costs = {"here": here, **costs}
        if len(days) == 1:
            plot.bar(list(costs), [cost[0] for cost in costs.values()], orientation="horizontal")
        elif days:
            for name, cost in costs.items():
                plot.plot(days, list(accumulate(cost)), label=name)
        plot.title(f"Cost so far, {report['terms']['currency']}")
        widget.refresh()
        tokens = report["total"]["work"]["prompt_tokens"] + report["total"]["work"]["output_tokens"]
        each = per_million(report["total"]["local"]["total"], tokens)
        lines = [*report["verdicts"], "", *report["notes"]]
        if each is not None:
            lines.insert(0, f"A million tokens here: {each:.4f} {report['terms']['currency']}")
        self.query_one("#verdicts", Static).update("\n".join(lines))
