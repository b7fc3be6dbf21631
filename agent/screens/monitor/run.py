"""Run: one run turn by turn, and its canvas while it is written."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Label

from ...log import one_line
from .canvas import CanvasView, told
from .lines import Lines
from .pane import Pane, say


class RunPane(Pane):
    """Follows the run in which something happened last, unless one was chosen."""

    draw_seconds = 0.1
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow the newest"),
        Binding("p", "want('pause')", "Pause"),
        Binding("r", "want('resume')", "Resume"),
        Binding("x", "want('cancel')", "Cancel"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._chosen: str | None = None
        self._shown: tuple[str | None, int] = (None, 0)
        self._trace: Any = None

    def compose(self) -> ComposeResult:
        yield Label(id="run-head", markup=False)
        with Horizontal():
            yield Lines("lines")
            with Vertical(id="canvas-side"):
                yield Label(id="canvas-head", markup=False)
                with VerticalScroll():
                    yield CanvasView(id="canvas")

    def follow(self, run: str | None) -> None:
        """Look at this run; at the newest, without one."""
        self._chosen, self._trace, self.stale = run, None, True

    @property
    def run(self) -> str | None:
        return self._chosen or self.monitor.live.newest

    async def refreshed(self) -> None:
        if self.run is not None:
            self._trace = await self.monitor.control.get(f"/v1/runs/{self.run}")

    def draw(self) -> None:
        run = self.run
        head, log = self.query_one("#run-head", Label), self.query_one(Lines)
        view = self.monitor.live.runs.get(run) if run is not None else None
        if run is None:
            say(head, "Nothing has happened yet.")
            return
        lines = list(view.lines) if view is not None else []
        if not lines and self._trace is not None and self._trace["run"]["id"] == run:
            lines = traced(self._trace)
        state = view.state if view is not None else self._state()
        how = "chosen; f follows the newest" if self._chosen else "the newest"
        say(head, f"{run} · {state} · {how}")
        before, count = self._shown
        if before != run or len(lines) < count:
            log.empty()
            count = 0
        log.put(Text(one_line(part)) for line in lines[count:] for part in line.split("\n"))
        self._shown = run, len(lines)
        draft = view.draft if view is not None else None
        self.query_one(CanvasView).draft = draft
        title = "" if draft is None or view is None else f"turn {view.turn} · {told(draft)}"
        say(self.query_one("#canvas-head", Label), title)

    def _state(self) -> str:
        return "" if self._trace is None else self._trace["run"]["state"]

    def action_follow(self) -> None:
        self.follow(None)
        self.draw()

    async def action_want(self, wanted: str) -> None:
        run = self.run
        if run is not None:
            post = self.monitor.control.post
            await self.monitor.said(
                lambda: post(f"/v1/runs/{run}", wanted=wanted), f"{run}: asked to {wanted}"
            )


def traced(trace: Any) -> list[str]:
    """A run that was not watched, in lines."""
    lines: list[str] = []
    for turn in trace["turns"]:
        lines.append(f"turn {turn['number'] + 1}")
        lines += [
            f"{message['role']}: {message['content']}"
            for message in turn["added"]
            if message["role"] != "tool"
        ]
        if turn["text"]:
            lines.append(f"answer: {turn['text']}")
        for call in turn["calls"]:
            lines.append(f"call {call['text']}")
            lines.append(f"result {call['result'] if call['result'] is not None else '(none yet)'}")
    reason = trace["run"]["reason"]
    return [*lines, trace["run"]["state"] + (f": {reason}" if reason else "")]
