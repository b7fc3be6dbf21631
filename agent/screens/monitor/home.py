"""Home: the agents and what each is doing, the last runs, how much is written."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Label, Sparkline

from ...log import one_line
from .pane import Pane, chosen, replace_rows, say

SIGNS = {
    "running": "●",
    "queued": "…",
    "waiting": "✉",
    "paused": "‖",
    "retrying": "↻",
    "done": "✓",
    "stopped": "■",
    "failed": "✗",
    "cancelled": "×",
}
LAST = 50


class HomePane(Pane):
    """Its rows lead to a run."""

    draw_seconds = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[Any] = []
        self._filter = ""

    def compose(self) -> ComposeResult:
        with Horizontal(id="lines-of-today"):
            with Vertical():
                yield Label("tokens/s", id="rate-title")
                yield Sparkline([0.0], id="rate", summary_function=max)
            with Vertical():
                yield Label("", id="spent-title")
                yield Sparkline([0.0], id="spent", summary_function=max)
        agents = DataTable[Text](id="agents", cursor_type="row")
        agents.add_columns("agent", "", "doing", "queued", "last run", "triggers")
        yield agents
        runs = DataTable[Text](id="runs", cursor_type="row")
        runs.add_columns("run", "state", "trigger", "queued", "why")
        yield runs

    async def refreshed(self) -> None:
        self._runs = await self.monitor.control.get("/v1/runs", limit=LAST)
        self.draw()

    def filter(self, text: str) -> None:
        self._filter = text.casefold()
        self.draw()

    def draw(self) -> None:
        live, home = self.monitor.live, self.monitor.home
        peak = max(live.rates)
        self._line("rate", list(live.rates), f"tokens/s, the last minutes; peak {peak:.0f}")
        if home is None:
            return
        hours, currency = home["today"]["hours"], home["today"]["currency"]
        cost = f"{sum(hours):.4f} {currency}" if hours else "unknown"
        self._line("spent", hours or [0.0], f"electricity today: {cost}")
        rows = {agent["name"]: self._agent(agent) for agent in home["agents"]}
        replace_rows(self.query_one("#agents", DataTable), self._kept(rows))
        rows = {run["id"]: _run(run) for run in self._runs}
        replace_rows(self.query_one("#runs", DataTable), self._kept(rows))

    def _line(self, name: str, data: list[float], title: str) -> None:
        line = self.query_one(f"#{name}", Sparkline)
        if line.data != data:
            line.data = data
        say(self.query_one(f"#{name}-title", Label), title)

    def _kept(self, rows: dict[str, list[str]]) -> dict[str, list[str]]:
        wanted = self._filter
        return {k: row for k, row in rows.items() if wanted in " ".join([k, *row]).casefold()}

    def _agent(self, agent: Any) -> list[str]:
        running = agent["running"]
        doing = ""
        if running:
            view = self.monitor.live.runs.get(running[0]["id"])
            doing = view.last if view is not None else running[0]["input"]
        last = agent["last"]
        state = "running" if running else last["state"] if last else ""
        return [
            agent["name"],
            SIGNS.get(state, "○"),
            one_line(doing)[:60],
            str(agent["queued"] or ""),
            f"{last['state']} {_time(last['ended'] or last['queued'])}" if last else "never",
            ", ".join(map(_trigger, agent["triggers"])),
        ]

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        name = chosen(event.data_table)
        home = self.monitor.home
        if event.data_table.id == "agents" and home is not None:
            agent = next(one for one in home["agents"] if one["name"] == name)
            found = [*agent["running"], *([agent["last"]] if agent["last"] else [])]
            name = found[0]["id"] if found else None
        if name is not None:
            self.monitor.run_of(name)


def _trigger(trigger: Any) -> str:
    """A trigger, and when the clock lets it fire next."""
    upcoming = trigger["next"]
    return trigger["name"] + (f" → {_time(upcoming)[:-3]}" if upcoming else "")


def _run(run: Any) -> list[str]:
    state = f"{SIGNS[run['state']]} {run['state']}"
    trigger, why = (one_line(run[name] or "")[:50] for name in ("trigger", "reason"))
    return [run["id"], state, trigger, _time(run["queued"]), why]


def _time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%d %b %H:%M:%S")
