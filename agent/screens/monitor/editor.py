"""A text that the person changes: a call's arguments, a rule, a fact, a block."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Label, TextArea


class Editor(ModalScreen[str | None]):
    """Gives the text as it is when the person is done, or `None` where they leave."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "done", "Done", priority=True),
        Binding("escape", "leave", "Leave it", priority=True),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="editor"):
            yield Label(self._title, id="editor-title", markup=False)
            yield TextArea(self._text, id="text", soft_wrap=True, show_line_numbers=False)
        yield Footer(show_command_palette=False)

    def action_done(self) -> None:
        self.dismiss(self.query_one(TextArea).text)

    def action_leave(self) -> None:
        self.dismiss(None)
