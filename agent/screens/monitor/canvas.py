"""The live canvas: every position as it settles from noise.

What is certain under the constraint is underlined, what is settled is bold, and what is only a
draft stands on a ground that tells how sure it is. Never by colour alone: what the denoiser doubts
is dim and italic, and a position that has nothing yet is a dot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.style import Style
from rich.text import Text
from textual.reactive import reactive
from textual.widgets import Static

from ...log import one_line

SHADES = ("#7f3b08", "#b35806", "#e08214", "#8073ac", "#542788")
"""From doubtful to sure: brown to purple, which are told apart by whoever is colour-blind
(ColorBrewer, PuOr)."""
BLANK = "·"


class CanvasView(Static):
    """Shows the last draft it was given."""

    draft: reactive[Mapping[str, Any] | None] = reactive(None, layout=True)

    def render(self) -> Text:
        if self.draft is None:
            return Text("No canvas is being written.", style="dim italic")
        return drawn(self.draft)


def drawn(draft: Mapping[str, Any]) -> Text:
    """A draft as text: one piece a position, then a dot for each that is not written yet."""
    text = Text()
    for position, (piece, sure) in enumerate(zip(draft["pieces"], draft["sure"], strict=True)):
        text.append(one_line(piece), _style(sure, settled=position < draft["known"]))
    rest = max(0, draft["length"] - len(draft["pieces"]))
    text.append(BLANK * rest, Style(dim=True))
    return text


def _style(sure: float, *, settled: bool) -> Style:
    if settled:
        return Style(bold=True, underline=sure == 1.0)
    shade = SHADES[min(int(sure * len(SHADES)), len(SHADES) - 1)]
    return Style(color="white", bgcolor=shade, dim=sure < 0.4, italic=sure < 0.4)


def told(draft: Mapping[str, Any]) -> str:
    """A draft in a line: how far it has come, and how sure it is."""
    sure = draft["sure"]
    mean = sum(sure) / len(sure) if sure else 0.0
    forced = sum(one == 1.0 for one in sure[: draft["known"]])
    return (
        f"canvas {draft['canvas']} · step {draft['step']} · {draft['known']} of {len(sure)}"
        f" settled, {forced} of them certain · {mean:.0%} sure"
    )
