"""Cost: what the work costs here and in the cloud, day by day, and what it would if."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Label, Static
from textual_plotext import PlotextPlot

from ...cost.words import per_million
from ...errors import AgentError
from .editor import Editor
from .pane import Pane

STEP = 0.05
"""Of the price of a kilowatt hour, a key press."""


class CostPane(Pane):
    """`+` and `-` change the price of electricity, `h` the machine, `c` the cloud models, `0` goes
    back to the project's own."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus", "electricity(1)", "kWh dearer", key_display="+"),
        Binding("minus", "electricity(-1)", "kWh cheaper", key_display="-"),
        Binding("h", "machine", "Other machine"),
        Binding("c", "peers", "Other models"),
        Binding("0", "as_it_is", "As it is"),
    ]
    can_focus = True

    def __init__(self) -> None:
        super().__init__()
        self._report: Any = None
        self._if: dict[str, Any] = {}
        self._shown_if: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        yield Label(id="what-if", markup=False)
        yield PlotextPlot(id="plot")
        with VerticalScroll(can_focus=False):
            yield Static(id="verdicts", markup=False)

    def take_focus(self) -> None:
        self.focus()

    async def refreshed(self) -> None:
        try:
            self._report = await self.monitor.control.get("/v1/cost", by="day", **self._if)
        except AgentError:
            self._if = self._shown_if
            raise
        self._shown_if = self._if
        self._plot()

    def _plot(self) -> None:
        report, terms = self._report, self._report["terms"]
        widget = self.query_one(PlotextPlot)
        plot = widget.plt
        plot.clear_figure()
        plot.date_form("Y-m-d")
        days, sums = report["series"]["days"], report["series"]["sums"]
        if len(days) == 1:
            plot.bar(list(sums), [cost[0] for cost in sums.values()], orientation="horizontal")
        elif days:
            for name, cost in sums.items():
                plot.plot(days, cost, label=name)
        plot.title(f"Cost so far, {terms['currency']}")
        widget.refresh()
        tokens = report["total"]["work"]["prompt_tokens"] + report["total"]["work"]["output_tokens"]
        each = per_million(report["total"]["local"]["total"], tokens)
        lines = [*report["verdicts"], "", *report["notes"]]
        if each is not None:
            lines.insert(0, f"A million tokens here: {each:.4f} {terms['currency']}")
        self.query_one("#verdicts", Static).update("\n".join(lines))
        self.query_one("#what-if", Label).update(self._told())

    def _told(self) -> str:
        terms = self._report["terms"]
        machine = self._if.get("hardware") or "its own machine"
        price = f"{terms['electricity']:.2f} {terms['currency']} a kWh"
        return f"{'What if' if self._if else 'As it is'}: {machine}, {price}"

    def _ask(self, **changed: Any) -> None:
        self._if = {**self._if, **changed}
        self.stale = True
        self.monitor.ask()

    def action_electricity(self, way: int) -> None:
        if self._report is not None:
            now = self._if.get("electricity", self._report["terms"]["electricity"])
            self._ask(electricity=round(max(0.0, now + way * STEP), 4))

    def action_machine(self) -> None:
        if self._report is not None:
            machines = self._report["machines"]
            now = self._if.get("hardware")
            following = machines.index(now) + 1 if now in machines else 0
            self._ask(hardware=machines[following % len(machines)])

    @work
    async def action_peers(self) -> None:
        title = "The cloud models that it is set against: PROVIDER/MODEL, one a line"
        text = await self.app.push_screen_wait(Editor(title, "\n".join(self._if.get("vs", ()))))
        if text is not None:
            self._ask(vs=text.split())

    def action_as_it_is(self) -> None:
        self._if = {}
        self._ask()
