"""Logs: what the runtime says, filtered by a text."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult

from ...log import STYLES, one_line
from .lines import Lines
from .live import time_of
from .pane import Pane


class LogsPane(Pane):
    draw_seconds = 0.2

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self._last = 0

    def compose(self) -> ComposeResult:
        yield Lines("log")

    def filter(self, text: str) -> None:
        self._filter, self._last = text.casefold(), 0
        self.query_one(Lines).empty()
        self.draw()

    def draw(self) -> None:
        new = [event for event in self.monitor.live.log if event["id"] > self._last]
        if new:
            self._last = new[-1]["id"]
            lines = map(told, new)
            wanted = self._filter
            self.query_one(Lines).put(line for line in lines if wanted in line.plain.casefold())


def told(event: Any) -> Text:
    data = event["data"]
    run = f" {event['run']}" if event["run"] else ""
    line = f"{time_of(event)} {data['level']:<7}{run} {one_line(data['text'])}"
    return Text(line, STYLES.get(data["level"], ""))
