"""What a screen shows, as text that can be kept beside the tests and read in a review.

First the signs, a line a row. Then, for each theme, the styles: a legend of letters, and for each
row how many cells in a run have which. `GESSO_SNAPSHOTS=write` (`make snapshots`) keeps what is
shown in place of what was kept.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from textual.app import App

FOLDER = Path(__file__).parent / "snapshots"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZαβγδεζηθικλμνξοπρστυφχψω"
WRITE = os.environ.get("GESSO_SNAPSHOTS") == "write"


def cells_of(app: App[Any]) -> list[list[tuple[str, str]]]:
    """Each row's signs with their styles."""
    rows = []
    for strip in app.screen._compositor.render_strips():
        segments = [segment for segment in strip if not segment.control]
        rows.append([(sign, str(one.style or "")) for one in segments for sign in one.text])
    return rows


def text_of(themes: Mapping[str, list[list[tuple[str, str]]]]) -> str:
    """A screen in each of its themes; what it says must be the same in all."""
    (text, *others) = [
        ["".join(sign for sign, _ in row).rstrip() for row in rows] for rows in themes.values()
    ]
    for other in others:
        differs = "\n".join(difflib.unified_diff(text, other, lineterm="", n=0))
        assert other == text, f"the themes say different things\n{differs}"
    lines = [*text]
    for theme, rows in themes.items():
        legend: dict[str, str] = {}
        runs = []
        for row in rows:
            names = [legend.setdefault(style, LETTERS[len(legend)]) for _, style in row]
            runs.append(" ".join(f"{len(list(run))}{name}" for name, run in groupby(names)))
        lines += ["", f"{theme}:", *(f"{name} {style}" for style, name in legend.items()), *runs]
    return "\n".join([*lines, ""])


def check(name: str, text: str) -> None:
    """Fail where a screen is not what was kept of it, and show what differs."""
    file = FOLDER / f"{name}.txt"
    if WRITE:
        file.write_text(text, encoding="utf-8")
        return
    kept = file.read_text(encoding="utf-8") if file.is_file() else ""
    if text != kept:
        differs = difflib.unified_diff(
            kept.splitlines(), text.splitlines(), f"kept: {file.name}", "shown", lineterm="", n=1
        )
        told = "\n".join(differs)
        pytest.fail(f"{told}\n\nIf it should look so now: make snapshots", pytrace=False)
