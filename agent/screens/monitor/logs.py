"""Logs: what the runtime says, filtered by a text."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import RichLog

from ...log import STYLES, one_line
from .live import LINES, time_of
from .pane import Pane


class LogsPane(Pane):
    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self._last = 0

    def compose(self) -> ComposeResult:
        yield RichLog(id="log", wrap=True, markup=False, min_width=20, max_lines=LINES)

    def filter(self, text: str) -> None:
        self._filter, self._last = text.casefold(), 0
        self.query_one(RichLog).clear()
        self.draw()

    def draw(self) -> None:
        log = self.query_one(RichLog)
        for event in self.monitor.live.log:
            if event["id"] > self._last:
                self._last = event["id"]
                line = told(event)
                if self._filter in line.plain.casefold():
                    log.write(line)


def told(event: Any) -> Text:
    data = event["data"]
    run = f" {event['run']}" if event["run"] else ""
    line = f"{time_of(event)} {data['level']:<7}{run} {one_line(data['text'])}"
    return Text(line, STYLES.get(data["level"], ""))
