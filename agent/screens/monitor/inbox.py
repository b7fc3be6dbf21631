"""Inbox: what waits for the person, with the exact call."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Input, Static

from ...log import one_line
from .pane import Pane, chosen, replace_rows


class InboxPane(Pane):
    """`a` approves, `d` refuses, `r` answers a question."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('approved')", "Approve"),
        Binding("d", "decide('denied')", "Deny"),
        Binding("r", "answer", "Answer"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        table = DataTable[str](id="entries", cursor_type="row")
        table.add_columns("no.", "kind", "agent", "what")
        yield table
        with VerticalScroll(id="entry"):
            yield Static(id="call", markup=False)
        yield Input(placeholder="the answer", id="answer", disabled=True)

    async def refreshed(self) -> None:
        found = await self.monitor.control.get("/v1/inbox")
        self._entries = {str(entry["id"]): entry for entry in found}
        self.draw()

    def draw(self) -> None:
        rows = {
            number: [number, entry["kind"], entry["agent"], one_line(entry["text"])[:90]]
            for number, entry in self._entries.items()
        }
        replace_rows(self.query_one("#entries", DataTable), rows)
        self._show()

    def on_data_table_row_highlighted(self) -> None:
        self._show()

    def _show(self) -> None:
        entry = self._entries.get(chosen(self.query_one("#entries", DataTable)) or "")
        self.query_one("#call", Static).update("Nothing waits." if entry is None else told(entry))

    async def action_decide(self, verdict: str) -> None:
        number = chosen(self.query_one("#entries", DataTable))
        if number is None:
            return
        if verdict == "approved" and self._entries[number]["kind"] == "question":
            self.action_answer()
            return
        await self._decide(number, verdict, "")

    def action_answer(self) -> None:
        field = self.query_one("#answer", Input)
        field.disabled = False
        field.focus()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        number = chosen(self.query_one("#entries", DataTable))
        event.input.disabled = True
        self.take_focus()
        if number is not None and event.value.strip():
            await self._decide(number, "approved", event.value)
        event.input.clear()

    async def _decide(self, number: str, verdict: str, note: str) -> None:
        post = self.monitor.control.post
        await self.monitor.said(
            lambda: post(f"/v1/inbox/{number}", verdict=verdict, note=note), f"{number}: {verdict}"
        )


def told(entry: Any) -> str:
    """All of an entry: the call with its arguments, each on lines of its own."""
    lines = [f"{entry['kind']} · {entry['agent']} · {entry['run']}", "", one_line(entry["text"])]
    for name, value in (entry["arguments"] or {}).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += ["", f"{name}:", *(f"  {one_line(line)}" for line in text.split("\n"))]
    return "\n".join([*lines, "", one_line(entry["reason"] or "")])
