"""Memory: facts with where they come from, and the blocks."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from ...log import one_line
from .editor import Editor
from .pane import Pane, chosen, replace_rows


class MemoryPane(Pane):
    """The filter is a question to the memory: it is recalled by it, not only looked through. A fact
    that is edited is a new one, which supersedes the old."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit"),
        Binding("x", "forget", "Forget"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._query = ""
        self._facts: dict[str, Any] = {}
        self._blocks: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        facts = DataTable[Text](id="facts", cursor_type="row")
        facts.add_columns("no.", "agent", "fact", "source", "at")
        yield facts
        blocks = DataTable[Text](id="blocks", cursor_type="row")
        blocks.add_columns("block", "agent", "what it says", "at", "")
        yield blocks

    def filter(self, text: str) -> None:
        self._query, self.stale = text, True
        self.monitor.ask()

    async def refreshed(self) -> None:
        query = {"query": self._query} if self._query.strip() else {}
        facts = await self.monitor.control.get("/v1/facts", **query)
        blocks = await self.monitor.control.get("/v1/blocks")
        self._facts = {str(fact["id"]): fact for fact in facts}
        self._blocks = {f"{block['agent'] or ''}/{block['label']}": block for block in blocks}
        self.draw()

    def draw(self) -> None:
        facts = {
            number: [
                number,
                fact["agent"] or "all",
                one_line(fact["text"])[:80],
                one_line(fact["source"])[:30],
                _minute(fact["at"]),
            ]
            for number, fact in self._facts.items()
        }
        replace_rows(self.query_one("#facts", DataTable), facts)
        blocks = {
            key: [
                block["label"],
                block["agent"] or "all",
                one_line(block["value"])[:80],
                _minute(block["changed"]),
                "from outside" if block["outside"] else "",
            ]
            for key, block in self._blocks.items()
        }
        replace_rows(self.query_one("#blocks", DataTable), blocks)

    @work
    async def action_edit(self) -> None:
        """The block where the keys are in their table, else the fact."""
        blocks = self.query_one("#blocks", DataTable)
        if blocks.has_focus:
            await self._edit_block(self._blocks.get(chosen(blocks) or ""))
        else:
            await self._edit_fact(
                self._facts.get(chosen(self.query_one("#facts", DataTable)) or "")
            )

    async def _edit_fact(self, fact: Any) -> None:
        if fact is None:
            return
        title = f"fact {fact['id']}, from {one_line(fact['source'])}"
        text = await self.app.push_screen_wait(Editor(title, fact["text"]))
        if text is not None and text != fact["text"]:
            path, post = f"/v1/facts/{fact['id']}", self.monitor.control.post
            await self.monitor.said(lambda: post(path, text=text), f"{fact['id']}: said anew")

    async def _edit_block(self, block: Any) -> None:
        if block is None:
            return
        label, agent = block["label"], block["agent"]
        title = f"block {label} of {agent or 'all'}, at most {block['bound']:,} characters"
        text = await self.app.push_screen_wait(Editor(title, block["value"]))
        if text is not None and text != block["value"]:
            path = f"/v1/blocks/{label}" + (f"?agent={quote(agent)}" if agent else "")
            post = self.monitor.control.post
            await self.monitor.said(lambda: post(path, text=text), f"{label}: set")

    async def action_forget(self) -> None:
        number = chosen(self.query_one("#facts", DataTable))
        if number is not None:
            delete = self.monitor.control.delete
            await self.monitor.said(lambda: delete(f"/v1/facts/{number}"), f"{number}: forgotten")


def _minute(text: str) -> str:
    return text[:16].replace("T", " ")
