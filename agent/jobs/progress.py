"""What is shown of a job while it runs, on standard error: bars where that is a terminal, a line
every few seconds where it is not, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...memory import spends_of
from ..cost.report import Basis, cost_of
from ..cost.words import costs_told
from .chunk import Chunk

Mode = Literal["auto", "plain", "none"]

Watch = Callable[[Chunk], None]

LINE_SECONDS = 5.0
LOOKS = 4
"""Times a second that what a terminal shows is drawn anew."""


@dataclass
class Figures:
    """How far a job has come, and what this sitting of it took. `documents` counts those of earlier
    sittings too; rates are over the `seconds` of this one."""

    basis: Basis
    total: int
    documents: int = 0
    records: int = 0
    failed: int = 0
    cached: int = 0
    fresh: int = 0
    output_tokens: int = 0
    canvases: int = 0
    denoising_steps: int = 0
    bills: dict[str, Decimal] = field(default_factory=dict)
    electricity: float | None = 0.0
    began: float = field(default_factory=time.monotonic)

    def add(self, chunk: Chunk) -> None:
        """Count a chunk that was kept."""
        for row in chunk.documents:
            self.documents += 1
            self.fresh += 1
            self.records += row.state == "done"
            self.failed += row.state == "failed"
            self.cached += row.cached
        for entry in chunk.entries:
            self.output_tokens += entry.output_tokens
            self.canvases += entry.canvases
            self.denoising_steps += entry.denoising_steps
        cost = cost_of(spends_of(chunk.entries), self.basis)
        for bill in cost.bills:
            self.bills[bill.name] = self.bills.get(bill.name, Decimal()) + bill.dollars
        if self.electricity is not None:
            known = cost.electricity is not None
            self.electricity = self.electricity + (cost.electricity or 0.0) if known else None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def documents_per_second(self) -> float:
        return self.fresh / self.seconds

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.documents) / self.documents_per_second if self.fresh else None

    def texts(self) -> list[str]:
        """For people, one thing each."""
        texts = [f"{self.records:,} records", f"{self.failed:,} failed"]
        if self.cached:
            texts.append(f"{self.cached:,} known before")
        texts.append(f"{self.documents_per_second:.1f} documents/s")
        if self.canvases:
            texts.append(f"{self.output_tokens / self.seconds:.0f} tokens/s")
            texts.append(f"{self.denoising_steps / self.canvases:.1f} steps a canvas")
        return texts

    def cost(self) -> str:
        """What the work so far cost, and would have cost elsewhere."""
        return costs_told(self.electricity, self.bills, self.basis.terms) if self.bills else ""


@contextmanager
def shown(figures: Figures, mode: Mode) -> Iterator[Watch]:
    """Show the figures while the body goes on; it has every chunk counted."""
    console = Console(stderr=True, markup=False, highlight=False)
    if mode == "plain":
        yield _Lines(figures, console)
    elif mode == "auto" and console.is_terminal:
        with _bars(figures, console) as watch:
            yield watch
    else:
        yield figures.add


@contextmanager
def _bars(figures: Figures, console: Console) -> Iterator[Watch]:
    progress = Progress(
        BarColumn(), MofNCompleteColumn(), TextColumn("documents"), TimeRemainingColumn()
    )
    task = progress.add_task("", total=figures.total, completed=figures.documents)

    def watch(chunk: Chunk) -> None:
        figures.add(chunk)
        progress.update(task, completed=figures.documents)

    def drawn() -> Group:
        return Group(progress, Text(" · ".join(figures.texts())), Text(figures.cost(), "dim"))

    with Live(get_renderable=drawn, console=console, refresh_per_second=LOOKS):
        yield watch


class _Lines:
    """A line every few seconds."""

    def __init__(self, figures: Figures, console: Console) -> None:
        self._figures = figures
        self._console = console
        self._last = time.monotonic()

    def __call__(self, chunk: Chunk) -> None:
        figures, now = self._figures, time.monotonic()
        figures.add(chunk)
        if now - self._last >= LINE_SECONDS:
            self._last = now
            share = f"{figures.documents:,} of {figures.total:,} documents"
            left = figures.seconds_left
            more = [] if left is None else [f"{timedelta(seconds=round(left))} left"]
            self._console.print(", ".join([share, *figures.texts(), *more]), soft_wrap=True)
