"""The canvas of a turn, for whoever looks on: what it reads as, and how sure each position is."""

from __future__ import annotations

import time
from typing import Any, Literal

from ..engine import Commit, Draft, Engine
from .events import Events

DRAFT_SECONDS = 0.04
"""Between two drafts that are shown: no eye sees more, and no event is lost for them."""
DIGITS = 3


class Canvases:
    """Publishes the drafts and commits of one turn."""

    def __init__(self, events: Events, engine: Engine, run: str, agent: str) -> None:
        self._events, self._engine = events, engine
        self._run, self._agent = run, agent
        self._shown = 0.0

    def __call__(self, seen: Draft | Commit) -> None:
        if isinstance(seen, Commit):
            self._publish("commit", seen, known=len(seen.tokens), text=seen.text)
            return
        now = time.monotonic()
        if now - self._shown >= DRAFT_SECONDS:
            self._shown = now
            self._publish("draft", seen, known=seen.known, step=seen.step)

    def _publish(self, kind: Literal["draft", "commit"], seen: Draft | Commit, **data: Any) -> None:
        self._events.publish(
            kind,
            run=self._run,
            agent=self._agent,
            canvas=seen.canvas,
            length=self._engine.canvas_length,
            pieces=[self._engine.tokenizer.decode([token]) for token in seen.tokens],
            sure=[round(one, DIGITS) for one in seen.sure],
            **data,
        )
