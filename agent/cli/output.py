"""What the commands print: one JSON document, or tables and lines for people; and the log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from ..log import one_line
from ..plain import plain


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=plain)
    sys.stdout.write("\n")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, told: int | None = None
) -> None:
    """A column whose values are all numbers is set to the right; the first, which names the row, is
    never cut. With `told`, all but so many columns are numbers, told in words or not, and never
    cut."""
    cells = [list(row) for row in rows]
    table = Table()
    for n, column in enumerate(columns):
        numbers = all(isinstance(row[n], int | float | Decimal) for row in cells)
        whole = n >= told if told is not None else n == 0
        right = numbers or (told is not None and n >= told)
        # The first is the name that other commands want.
        table.add_column(column, justify="right" if right else "left", no_wrap=whole)
    for row in cells:
        table.add_row(*["" if cell is None else one_line(str(cell)) for cell in row])
    console = Console(markup=False, highlight=False)
    console.print(title, soft_wrap=True)
    console.print(table)


def shortened(text: str | None, length: int = 120) -> str:
    """The beginning of a text, for a table."""
    text = text or ""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def print_lines(text: str, indent: str = "") -> None:
    """What an agent or a tool wrote. Each of its lines is indented, the first one where `indent`
    says so; it cannot draw over what stands around it, nor pass for it."""
    first, *more = text.split("\n")
    print(f"{indent}{one_line(first)}")
    for line in more:
        print(f"{indent or '  '}{one_line(line)}")
