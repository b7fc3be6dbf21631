"""The monitor: panes over one control API. It may come and go; a runtime that is lost is shown, and
found again."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.widgets import Footer, Input, Label, TabbedContent, TabPane

from ...control.client import Control
from ...control.replay import Replay
from ...errors import AgentError
from ...log import one_line
from .cost import CostPane
from .home import HomePane
from .inbox import InboxPane
from .jobs import JobsPane
from .live import SAMPLE_SECONDS, Live
from .logs import LogsPane
from .memory import MemoryPane
from .pane import Pane, say
from .panes import Panes
from .run import RunPane

DRAW_SECONDS = 0.1
"""The eye wants no more; a runtime may say 200 things a second."""
ASK_SECONDS = 2.0
PANES: Mapping[str, type[Pane]] = {
    "home": HomePane,
    "run": RunPane,
    "inbox": InboxPane,
    "memory": MemoryPane,
    "jobs": JobsPane,
    "cost": CostPane,
    "logs": LogsPane,
}


class Monitor(App[None]):
    """Watches the runtime that a control speaks to."""

    CSS_PATH = "monitor.tcss"
    TITLE = "gesso"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"pane('{name}')", name.capitalize(), show=False)
            for number, name in enumerate(PANES, 1)
        ),
        Binding("slash", "filter", "Filter"),
        Binding("question_mark", "keys", "Keys"),
        Binding("t", "theme", "Light or dark", show=False),
        Binding("escape", "leave", "Back", show=False),
        Binding("j", "move('down')", show=False),
        Binding("k", "move('up')", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, control: Control | Replay, folder: str, *, first: str = "home") -> None:
        super().__init__()
        self.animation_level = "none"  # it must answer at once, over ssh too
        self.control = control
        self._first = first
        self.live = Live()
        self.home: Mapping[str, Any] | None = None
        self._folder = folder
        self._lost = "connecting"
        self._dirty = True
        self._drawn = 0.0
        self._wanted = asyncio.Event()
        self.asking = False
        self._news = False

    def compose(self) -> ComposeResult:
        yield Label(id="head", markup=False)
        with Panes(id="panes", initial=self._first):
            for number, (name, pane) in enumerate(PANES.items(), 1):
                with TabPane(f"{number} {name.capitalize()}", id=name):
                    yield pane()
        yield Input(placeholder="filter", id="filter")
        yield Footer(show_command_palette=True)

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self.set_interval(DRAW_SECONDS, self._draw)
        self.set_interval(ASK_SECONDS, self.ask)
        self.set_interval(SAMPLE_SECONDS, self._sample)
        self._listen()
        self._ask_when_wanted()
        self.ask()
        self._draw()

    # what is heard

    @work(exclusive=True, group="events")
    async def _listen(self) -> None:
        async for event in self.control.events(self._set_lost):
            self.live.take(event)
            self._dirty = True
            if event["kind"] in ("run", "inbox", "gap"):
                self._news = True

    def _set_lost(self, why: str) -> None:
        self._lost, self._dirty = why, True

    def ask(self) -> None:
        """Ask the runtime how it stands, and for what the pane shows where that is stale."""
        self._wanted.set()

    @work(group="home")
    async def _ask_when_wanted(self) -> None:
        """One question at a time, and none is cut short by the next: what is slow would never be
        answered else."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self.asking = True
            try:
                await self._ask()
            except NoMatches:
                return  # it was answered while the screen is taken down
            self.asking = False

    async def _ask(self) -> None:
        try:
            self.home = await self.control.get("/v1/home")
        except AgentError as error:
            self._set_lost(str(error))
            return
        self._dirty = True
        pane = self.pane()
        if pane.stale or self._news:
            pane.stale = self._news = False
            try:
                await pane.refreshed()
            except AgentError as error:
                self.notify(one_line(str(error)), severity="warning", markup=False)
            self._dirty, self._drawn = True, 0.0

    def _sample(self) -> None:
        self.live.sample()
        self._dirty = True

    def _draw(self) -> None:
        if self._dirty:
            with suppress(NoMatches):  # the screen is taken down while the clock still ticks
                self._draw_now()

    def _draw_now(self) -> None:
        head, pane, now = self.query_one("#head", Label), self.pane(), time.monotonic()
        say(head, self._head())
        head.set_class(bool(self._lost), "lost")
        if now - self._drawn >= pane.draw_seconds or not self._drawn:
            self._drawn, self._dirty = now, False
            pane.draw()
        elif math.isinf(pane.draw_seconds):
            self._dirty = False

    def _head(self) -> str:
        if self._lost:
            return f" ✗ {one_line(self._lost)}"
        if self.home is None:
            return f" {self._folder}"
        rate = self.home["throughput"]
        runs = self.home["runs"]
        busy = f"{runs.get('running', 0)} running, {runs.get('queued', 0)} queued"
        today = "" if rate["today"] is None else f", {rate['today']:.0f} today"
        waits = self.home["inbox"]
        inbox = f" · ✉ {waits} wait for you" if waits else ""
        return f" ● {self.home['folder']} · {busy} · {rate['now']:.0f} tokens/s{today}{inbox}"

    def pane(self) -> Pane:
        """The pane that is looked at."""
        active = self.query_one(TabbedContent).active or next(iter(PANES))
        return self.query_one(f"#{active}", TabPane).query_one(Pane)

    def run_of(self, name: str) -> None:
        """Look at a run."""
        self.query_one(RunPane).follow(name)
        self.action_pane("run")

    async def said(self, what: Callable[[], Any], done: str) -> None:
        """Ask the runtime for a change, and say how that went."""
        try:
            await what()
        except AgentError as error:
            self.notify(one_line(str(error)), severity="error", markup=False)
            return
        self.notify(done, markup=False)
        self.pane().stale = True
        self.ask()

    # keys

    def action_pane(self, name: str) -> None:
        self.query_one(TabbedContent).active = name

    def on_tabbed_content_tab_activated(self) -> None:
        pane = self.pane()
        pane.stale = True
        pane.take_focus()
        self.ask()
        self._dirty, self._drawn = True, 0.0

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "filter":
            self.pane().filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "filter":
            self.action_leave()

    def action_leave(self) -> None:
        field = self.query_one("#filter", Input)
        if field.display:
            field.display = False
        self.pane().take_focus()

    def action_keys(self) -> None:
        if self.query("HelpPanel"):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()

    def action_theme(self) -> None:
        self.theme = "textual-light" if self.theme == "textual-dark" else "textual-dark"

    def action_move(self, way: str) -> None:
        """vim's keys do what the arrows do."""
        widget = self.focused
        action = getattr(widget, f"action_cursor_{way}", getattr(widget, f"action_scroll_{way}", 0))
        if callable(action):
            action()
