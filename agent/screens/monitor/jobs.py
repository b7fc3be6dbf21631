"""Jobs: how far each has come, what failed, what is least sure."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Static

from ...log import one_line
from .pane import Pane, chosen, replace_rows


class JobsPane(Pane):
    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[Any] = []
        self._summary: Any = None

    def compose(self) -> ComposeResult:
        table = DataTable[Text](id="jobs-table", cursor_type="row")
        table.add_columns("job", "state", "documents", "begun", "output")
        yield table
        with VerticalScroll():
            yield Static(id="job", markup=False)

    async def refreshed(self) -> None:
        self._jobs = await self.monitor.control.get("/v1/jobs")
        self.draw()
        name = chosen(self.query_one("#jobs-table", DataTable))
        if name is not None:
            self._summary = await self.monitor.control.get(f"/v1/jobs/{name}")
        self.draw()

    def on_data_table_row_highlighted(self) -> None:
        self.stale = True
        self.monitor.ask()

    def draw(self) -> None:
        rows = {
            job["run"]["id"]: [
                job["run"]["id"],
                job["run"]["state"],
                str(job["documents"] or 0),
                job["run"]["queued"][:16].replace("T", " "),
                one_line(job["plan"]["output"] or "")[-40:],
            ]
            for job in reversed(self._jobs)
        }
        replace_rows(self.query_one("#jobs-table", DataTable), rows)
        text = "No job was begun." if self._summary is None else told(self._summary)
        self.query_one("#job", Static).update(text)


def told(summary: Any) -> str:
    counts = summary["counts"]
    lines = [
        f"{summary['job']} is {summary['state']}: {counts['done']:,} records,"
        f" {counts['failed']:,} failed, {counts['waiting']:,} waiting,"
        f" {counts['cached']:,} known before"
    ]
    lines += [f"  failed: {number:,} × {one_line(why)}" for why, number in summary["failures"]]
    lines += [f"  lacks {field}: {number:,} documents" for field, number in summary["absent"]]
    lines += [
        f"  {one['confidence']:.0%} sure: {one_line(one['source'])} {one['pointer']}"
        f" {one_line(str(one['value']))[:50]}"
        for one in summary["least_sure"]
    ]
    return "\n".join([*lines, "", f"gesso review {summary['job']}"])
