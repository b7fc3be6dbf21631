"""Lines that are added at the end, wrapped at the width that there is now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rich.text import Text
from textual.events import Resize
from textual.widgets import RichLog

from .live import LINES

AT_ONCE = 100
"""Lines that are wrapped before a key is looked at again."""
SOON_SECONDS = 0.02


class Lines(RichLog):
    """Keeps what it shows, and wraps it anew when its width changes: while it is hidden it does not
    know how wide it will be."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name, wrap=True, markup=False, min_width=20, max_lines=LINES)
        self._kept: deque[Text] = deque(maxlen=LINES)
        self._waiting: deque[Text] = deque(maxlen=LINES)
        self._wide = 0
        self._pouring = False

    def put(self, lines: Iterable[Text]) -> None:
        for line in lines:
            self._kept.append(line)
            self._waiting.append(line)
        self._pour_soon(0.0)

    def empty(self) -> None:
        """Show nothing."""
        self._kept.clear()
        self._waiting.clear()
        self.clear()

    def on_resize(self, event: Resize) -> None:
        wide = event.size.width
        if wide and wide != self._wide:
            self._wide = wide
            self.clear()
            self._waiting = self._kept.copy()
            self._pour_soon(0.0)

    def _pour_soon(self, seconds: float) -> None:
        if self._waiting and self._wide and not self._pouring:
            self._pouring = True
            if seconds:
                self.set_timer(seconds, self._pour)
            else:
                self._pour()

    def _pour(self) -> None:
        self._pouring = False
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self.write(self._waiting.popleft(), expand=True)  # the console may be narrower
        self._pour_soon(SOON_SECONDS)
