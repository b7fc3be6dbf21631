"""Memory: facts with where they come from, and the blocks."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Static

from ...log import one_line
from .pane import Pane, chosen, replace_rows


class MemoryPane(Pane):
    """The filter is a question to the memory: it is recalled by it, not only looked through."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("x", "forget", "Forget")]

    def __init__(self) -> None:
        super().__init__()
        self._query = ""
        self._facts: list[Any] = []
        self._blocks: list[Any] = []

    def compose(self) -> ComposeResult:
        table = DataTable[str](id="facts", cursor_type="row")
        table.add_columns("no.", "agent", "fact", "source", "at")
        yield table
        yield Static(id="blocks", markup=False)

    def filter(self, text: str) -> None:
        self._query, self.stale = text, True
        self.monitor.ask()

    async def refreshed(self) -> None:
        query = {"query": self._query} if self._query.strip() else {}
        self._facts = await self.monitor.control.get("/v1/facts", **query)
        self._blocks = await self.monitor.control.get("/v1/blocks")
        self.draw()

    def draw(self) -> None:
        rows = {
            str(fact["id"]): [
                str(fact["id"]),
                fact["agent"] or "all",
                one_line(fact["text"])[:80],
                one_line(fact["source"])[:30],
                fact["at"][:16].replace("T", " "),
            ]
            for fact in self._facts
        }
        replace_rows(self.query_one("#facts", DataTable), rows)
        blocks = (
            f"[{block['agent'] or 'all'}] {block['label']}: {one_line(block['value'])}"
            for block in self._blocks
        )
        self.query_one("#blocks", Static).update("\n".join(blocks) or "No block was edited.")

    async def action_forget(self) -> None:
        number = chosen(self.query_one("#facts", DataTable))
        if number is not None:
            delete = self.monitor.control.delete
            await self.monitor.said(lambda: delete(f"/v1/facts/{number}"), f"{number}: forgotten")
