"""What every pane of the monitor is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.containers import Vertical
from textual.widgets import DataTable, Static

if TYPE_CHECKING:
    from .app import Monitor


class Pane(Vertical):
    """`stale` says that the runtime should be asked again."""

    stale = True
    draw_seconds = math.inf
    """How often what happens is to be drawn: never, where only an answer of the runtime changes
    what is shown."""

    @property
    def monitor(self) -> Monitor:
        return cast("Monitor", self.app)

    async def refreshed(self) -> None:
        """Ask the runtime for what is shown. Called when something happened, not more often than
        every few seconds."""

    def draw(self) -> None:
        """Show what is known by now. Called when the pane is opened, and every `draw_seconds` in
        which something happened."""

    def filter(self, text: str) -> None:
        """Show only what has this text."""

    def take_focus(self) -> None:
        """Let the keys be this pane's."""
        for widget in self.query("*"):
            if widget.focusable and widget.display:
                widget.focus()
                return


def say(label: Static, text: str) -> None:
    """Have a label say a text; one that says it already is not laid out again."""
    if str(label.content) != text:
        label.update(text)


def replace_rows(table: DataTable[Text], rows: dict[str, list[str]]) -> None:
    """Make a table show these rows, by their keys; the cursor stays where it was. What the cells
    say is no markup."""
    known = [str(key.value) for key in table.rows]
    if known == list(rows):
        columns = list(table.columns)
        for key, cells in rows.items():
            for column, cell in zip(columns, cells, strict=True):
                if (before := table.get_cell(key, column).plain) != cell:
                    wider = len(cell) != len(before)
                    table.update_cell(key, column, Text(cell), update_width=wider)
        return
    chosen = known[table.cursor_row] if 0 <= table.cursor_row < len(known) else None
    table.clear()
    for key, cells in rows.items():
        table.add_row(*map(Text, cells), key=key)
    if chosen in rows:
        table.move_cursor(row=list(rows).index(chosen))


def chosen(table: DataTable[Text]) -> str | None:
    """The key of the row that the cursor is on."""
    if not table.row_count:
        return None
    key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key
    return None if key.value is None else str(key.value)
