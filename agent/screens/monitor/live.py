"""What a monitor knows of a runtime, gathered from its events: pure data, drawn by the panes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

LINES = 2000
"""Lines of the log that are kept."""
RUNS = 200
"""Runs that are kept, each with its lines and a canvas: some 50 KB."""
SAMPLES = 120
SAMPLE_SECONDS = 2.0
IDLE_SECONDS = 5.0
"""Without an event of a run, after which another one is followed."""

Event = Mapping[str, Any]


@dataclass
class RunView:
    """One run as it goes on: its lines, and the canvas that it is writing."""

    run: str
    agent: str
    state: str = "running"
    turn: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=500))
    draft: Event | None = None
    last: str = ""


class Live:
    """Takes events in, in order."""

    def __init__(self) -> None:
        self.runs: dict[str, RunView] = {}
        self.log: deque[Event] = deque(maxlen=LINES)
        self.rates: deque[float] = deque([0.0] * SAMPLES, maxlen=SAMPLES)
        self.newest: str | None = None
        """The run to look at where none was chosen: it is kept while it goes on, for where many do
        nobody could follow the last of all."""
        self._newest_at = 0.0
        self._tokens = 0

    def take(self, event: Event) -> None:
        data = event.get("data") or {}
        kind, run = event["kind"], event.get("run")
        if kind == "log":
            self.log.append(event)
            return
        if run is None:
            return
        view = self.runs.pop(run, None) or RunView(run, event.get("agent") or "")
        self.runs[run] = view  # as the last of all: what was silent longest goes first
        self._follow(run)
        if kind in ("draft", "commit"):
            step = (view.draft or {}).get("step", 0)
            view.draft = {"step": step, **data}
            if kind == "draft":
                return
        line = line_of(kind, data)
        if kind == "run":
            view.state = data["state"]
        elif kind == "turn":
            view.turn = data["number"]
        elif kind == "usage":
            self._tokens += data["output_tokens"]
        if line:
            view.last = line
            view.lines.append(f"{time_of(event)} {line}")
        while len(self.runs) > RUNS:
            self.runs.pop(next(iter(self.runs)))

    def _follow(self, run: str) -> None:
        now, followed = time.monotonic(), self.runs.get(self.newest or "")
        goes_on = followed is not None and followed.state == "running"
        if run == self.newest or not goes_on or now - self._newest_at > IDLE_SECONDS:
            self.newest, self._newest_at = run, now

    def sample(self) -> None:
        """Called every `SAMPLE_SECONDS`: what was written since the last time becomes a rate."""
        self.rates.append(self._tokens / SAMPLE_SECONDS)
        self._tokens = 0


def line_of(kind: str, data: Event) -> str:
    """An event in a line."""
    if kind == "run":
        reason = data.get("reason")
        return data["state"] + (f": {reason}" if reason else "")
    if kind == "turn":
        return f"turn {data['number']}"
    if kind == "commit":
        return f"canvas {data['canvas']}: {data['text']}"
    if kind == "usage":
        seconds = data["prefill_seconds"] + data["denoising_seconds"]
        tokens = f"{data['prompt_tokens']} + {data['output_tokens']} tokens"
        return f"{tokens}, {data['denoising_steps']} steps, {seconds:.2f} s"
    if kind == "call":
        return f"call {data['text']}"
    if kind == "result":
        return f"{'result' if data['ok'] else 'refused'} {data['text']}"
    return f"waits: {data['text']}" if kind == "inbox" else ""


def time_of(event: Event) -> str:
    return datetime.fromisoformat(event["at"]).astimezone().strftime("%H:%M:%S")
