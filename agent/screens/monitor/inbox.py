"""Inbox: what waits for the person, with the exact call and what it would change."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Input, Static

from ...errors import AgentError
from ...log import one_line
from ...word import CALLS
from .editor import Editor
from .pane import Pane, chosen, replace_rows

MARKS = {"+": "bold", "-": "dim", "@": "italic"}
"""How the lines of a diff are drawn, by their sign: never by colour."""


class InboxPane(Pane):
    """`a` approves, `d` refuses, `e` changes the call and approves it, `w` approves it and allows
    calls like it from now on, `r` answers a question."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('approved')", "Approve"),
        Binding("d", "decide('denied')", "Deny"),
        Binding("e", "edit", "Edit"),
        Binding("w", "always", "Always"),
        Binding("r", "answer", "Answer"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, Any] = {}
        self._details: dict[str, Any] = {}
        self._grants: list[Any] = []

    def compose(self) -> ComposeResult:
        table = DataTable[Text](id="entries", cursor_type="row")
        table.add_columns("no.", "kind", "agent", "what")
        yield table
        with VerticalScroll(id="entry"):
            yield Static(id="call", markup=False)
        yield Input(placeholder="the answer", id="answer", disabled=True)

    async def refreshed(self) -> None:
        get = self.monitor.control.get
        found = await get("/v1/inbox")
        self._entries = {str(entry["id"]): entry for entry in found}
        self._grants = await get("/v1/grants")
        self._details = {}  # a file may have changed since
        self.draw()
        self._look()

    def draw(self) -> None:
        rows = {
            number: [number, entry["kind"], entry["agent"], one_line(entry["text"])[:90]]
            for number, entry in self._entries.items()
        }
        replace_rows(self.query_one("#entries", DataTable), rows)
        self._show()

    def on_data_table_row_highlighted(self) -> None:
        self._show()
        self._look()

    @work(exclusive=True, group="entry")
    async def _look(self) -> None:
        """Ask what the call would change."""
        number = self._chosen()
        if number is None or number in self._details:
            return
        try:
            self._details[number] = await self.monitor.control.get(f"/v1/inbox/{number}")
        except AgentError:
            return  # it was decided meanwhile
        self._show()

    def _chosen(self) -> str | None:
        number = chosen(self.query_one("#entries", DataTable))
        return number if number in self._entries else None

    def _show(self) -> None:
        number = self._chosen()
        text = Text("Nothing waits.\n")
        if number is not None:
            text = told(self._entries[number], self._details.get(number, {}).get("changes"))
        for grant in self._grants:
            text.append(f"\nallowed for good: {grant['agent']} {one_line(grant['rule'])}")
        self.query_one("#call", Static).update(text)

    async def action_decide(self, verdict: str) -> None:
        number = self._chosen()
        if number is None:
            return
        if verdict == "approved" and self._entries[number]["kind"] == "question":
            self.action_answer()
            return
        await self._decide(number, verdict, note="")

    @work
    async def action_edit(self) -> None:
        number = self._call()
        if number is None:
            return
        before = json.dumps(self._entries[number]["arguments"], ensure_ascii=False, indent=2)
        title = f"{number}: the arguments that the call is made with"
        text = await self.app.push_screen_wait(Editor(title, before))
        if text is None:
            return
        try:
            edited = json.loads(text)
        except ValueError as error:
            self.notify(f"no JSON: {error}", severity="error", markup=False)
            return
        await self._decide(number, "approved", edited=edited)

    @work
    async def action_always(self) -> None:
        number = self._call()
        if number is None:
            return
        rule = self._details.get(number, {}).get("rule") or ""
        agent = self._entries[number]["agent"]
        title = f"{number}: what {agent} is allowed from now on; * is any text"
        text = await self.app.push_screen_wait(Editor(title, rule))
        if text is not None:
            await self._decide(number, "approved", always=text.strip())

    def _call(self) -> str | None:
        """The entry, where it is about a call."""
        number = self._chosen()
        if number is not None and self._entries[number]["kind"] not in CALLS:
            self.notify(f"{number} is no call that is to be made", severity="warning")
            return None
        return number

    def action_answer(self) -> None:
        field = self.query_one("#answer", Input)
        field.disabled = False
        field.focus()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        number = self._chosen()
        event.input.disabled = True
        self.take_focus()
        if number is not None and event.value.strip():
            await self._decide(number, "approved", note=event.value)
        event.input.clear()

    async def _decide(self, number: str, verdict: str, **more: Any) -> None:
        post = self.monitor.control.post
        await self.monitor.said(
            lambda: post(f"/v1/inbox/{number}", verdict=verdict, **more), f"{number}: {verdict}"
        )


def told(entry: Any, changes: str | None) -> Text:
    """All of an entry: the call, what it would change, its arguments each on lines of its own."""
    text = Text(f"{entry['kind']} · {entry['agent']} · {entry['run']}\n\n")
    text.append(f"{one_line(entry['text'])}\n{one_line(entry['reason'] or '')}\n")
    for line in changes.split("\n") if changes else ():
        text.append(f"\n{one_line(line)}", MARKS.get(line[:1], ""))
    for name, value in (entry["arguments"] or {}).items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines = (f"\n  {one_line(line)}" for line in shown.split("\n"))
        text.append("".join([f"\n\n{name}:", *lines]))
    return text.append("\n")
