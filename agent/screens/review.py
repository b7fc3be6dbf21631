"""`gesso review`: the values of a job, the least sure first, beside their documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Footer, Input, Label, TextArea
from textual.widgets.text_area import Selection

from ...memory import Reading
from ...tools import DocumentError
from ..errors import ReviewError
from ..jobs.record import Absent
from ..jobs.review import Review, span_of, typed_as
from ..log import one_line

SHOWN = 200
"""Values in the table at a time; the next ones come when these are seen to."""
_DRAWN = {
    code: "\n" if code in (0x85, 0x2028, 0x2029) else "�"
    for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029)
    if code not in (0x09, 0x0A)
}
"""Every sign that would move the cursor or begin a command is another single one, so that places
stay what they are."""


class ReviewScreen(App[int]):
    """Returns how many values were seen to."""

    CSS_PATH = "review.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm", "Right as it is"),
        Binding("e", "edit", "Edit"),
        Binding("t", "take", "Take the selected text"),
        Binding("n", "absent", "None there"),
        Binding("u", "undo", "Undo"),
        Binding("escape", "leave", "Back", show=False),
        Binding("q", "quit_review", "Quit"),
    ]

    def __init__(self, review: Review, title: str) -> None:
        super().__init__()
        self._review = review
        self._named = title
        self._waiting: list[Reading] = []
        self._seen: list[Reading] = []

    def compose(self) -> ComposeResult:
        yield Label(id="head", markup=False)
        with Horizontal():
            table = DataTable[Text](id="readings", cursor_type="row")
            table.add_columns("sure", "field", "value", "document")
            yield table
            with Vertical(id="source"):
                yield Label(id="place", markup=False)
                yield TextArea("", read_only=True, soft_wrap=True, id="text")
        yield Label(id="complaint", markup=False)
        yield Input(id="value", disabled=True, select_on_focus=False)
        yield Footer()

    def on_mount(self) -> None:
        self._fill()
        self.query_one(DataTable).focus()

    # what is looked at

    def _fill(self) -> None:
        """The next values. Those that were skipped come again."""
        self._waiting = self._review.readings(SHOWN)
        table = self.query_one(DataTable)
        table.clear()
        for reading in self._waiting:
            value = typed_as(reading.value)
            table.add_row(
                Text(f"{reading.confidence:4.0%}"),
                Text(_field(reading)),
                Text(one_line(value)[:60]) if value else Text("none", style="dim italic"),
                Text(one_line(reading.source), style="dim"),
            )
        self._show()

    def _chosen(self) -> Reading | None:
        row = self.query_one(DataTable).cursor_row
        return self._waiting[row] if 0 <= row < len(self._waiting) else None

    def on_data_table_row_highlighted(self) -> None:
        self._show()

    def _show(self) -> None:
        reading = self._chosen()
        number = len(self._seen)
        left = f"{len(self._waiting)}{'+' if len(self._waiting) == SHOWN else ''}"
        self.query_one("#head", Label).update(
            f"{self._named} · {number} seen to · {left} to go, the least sure first"
        )
        self.query_one("#complaint", Label).update("")
        value, text = self.query_one(Input), self.query_one(TextArea)
        if reading is None:
            self.query_one("#place", Label).update("Every value was seen to. Press q.")
            value.value, value.border_title = "", ""
            text.load_text("")
            return
        value.value = typed_as(reading.value)
        value.border_title = _field(reading)
        place = span_of(reading)
        try:
            document = self._review.document(reading)
        except DocumentError as error:
            self.query_one("#place", Label).update(one_line(f"{reading.source}: {error}"))
            text.load_text("")
            return
        shown = document.text.translate(_DRAWN)
        if text.text != shown:
            text.load_text(shown)
        if isinstance(place, Absent):
            where = f"not marked: {place.reason}"
            text.selection = Selection.cursor((0, 0))
        else:
            where = "" if place.page is None else f"page {place.page}"
            text.selection = Selection(_location(shown, place.start), _location(shown, place.end))
        text.scroll_cursor_visible(center=True)
        named = one_line(reading.source)
        self.query_one("#place", Label).update(f"{named} · {where}" if where else named)

    # what the person says

    def action_confirm(self) -> None:
        self._say(self._review.confirm)

    def action_absent(self) -> None:
        self._say(lambda reading: self._review.correct(reading, ""))

    def action_take(self) -> None:
        """Let the value be what is selected in the text."""
        if self.query_one(TextArea).selected_text:
            self._edit(self.query_one(TextArea).selected_text)

    def action_edit(self) -> None:
        self._edit(self.query_one(Input).value)

    def _edit(self, text: str) -> None:
        if self._chosen() is None:
            return
        value = self.query_one(Input)
        value.disabled = False
        value.value = " ".join(text.split())
        value.cursor_position = len(value.value)
        value.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        typed = event.value
        if self._say(lambda reading: self._review.correct(reading, typed)):
            self.action_leave()

    def action_leave(self) -> None:
        """Back to the table."""
        table = self.query_one(DataTable)
        table.focus()
        if not self.query_one(Input).disabled:
            self.query_one(Input).disabled = True
            self._show()

    def action_undo(self) -> None:
        """Take back what was said last."""
        if not self._seen:
            return
        reading = self._seen.pop()
        self._review.undo(reading)
        self._fill()
        same = (one for one in enumerate(self._waiting) if one[1] == reading)
        row, _ = next(same, (0, None))
        self.query_one(DataTable).move_cursor(row=row)

    def action_quit_review(self) -> None:
        self.exit(len(self._seen))

    def _say(self, what: Callable[[Reading], object]) -> bool:
        """Have something said of the chosen value, and go on to the next."""
        reading = self._chosen()
        if reading is None:
            return True
        try:
            what(reading)
        except ReviewError as error:
            self.query_one("#complaint", Label).update(one_line(str(error)))
            return False
        self._seen.append(reading)
        table = self.query_one(DataTable)
        row = table.cursor_row
        del self._waiting[row]
        if not self._waiting:
            self._fill()
            return True
        table.remove_row(table.coordinate_to_cell_key(table.cursor_coordinate).row_key)
        table.move_cursor(row=min(row, len(self._waiting) - 1))
        self._show()
        return True


def _field(reading: Reading) -> str:
    """A JSON pointer as people write it: `lines 2 price`."""
    return one_line(" ".join(reading.pointer[1:].split("/")))


def _location(text: str, at: int) -> tuple[int, int]:
    """The line and the column of a character."""
    before = text.rfind("\n", 0, at)
    return text.count("\n", 0, at), at - before - 1
