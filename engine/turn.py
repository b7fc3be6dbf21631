"""One turn while it is being written: its canvas, what stands before it, and what it took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .canvas import Canvas
from .plan import Plan
from .request import Commit, Draft, Usage
from .sampler import Noise

if TYPE_CHECKING:
    from .engine import Engine


class Turn:
    """`canvas` is the one under way; `written` are the tokens of those before it, and `posteriors`
    how sure each was. `done` once nothing is left to be written."""

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self.plan = plan
        self.course = plan.course(engine)
        self.noise = Noise(plan.seed, engine.config.text_config.vocab_size, engine.model.device)
        self.written: list[int] = []
        self.posteriors: list[float] = []
        self.done = False
        self.cached_tokens = 0
        self.prefill_seconds = 0.0
        self.denoising_seconds = 0.0
        self._tokenizer = engine.tokenizer
        self._length = engine.config.canvas_length
        self._canvases = self._steps = 0
        self.canvas = self._next()

    def drafted(self, reads: Sequence[int]) -> Draft:
        """Count a denoising step, after which the canvas reads so."""
        self._steps += 1
        visible = self._cut(reads[: len(self.canvas.known) + self.course.tokens_left])
        text = self._tokenizer.decode(visible)
        return Draft(self._canvases, self._steps - self._steps_before, visible, text)

    def commit(self) -> Commit:
        """Put the full canvas behind what is written, and begin the next where one is needed."""
        committed = self._cut(self.canvas.known)
        self.written += committed
        self.posteriors += self.canvas.posteriors[: len(committed)]
        event = Commit(self._canvases, committed, self._tokenizer.decode(committed))
        self.done = self.course.ended or not self.course.tokens_left
        if not self.done:
            self.canvas = self._next()
        return event

    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=len(self.plan.prompt),
            cached_tokens=self.cached_tokens,
            output_tokens=len(self.written),
            canvases=self._canvases,
            denoising_steps=self._steps,
            prefill_seconds=self.prefill_seconds,
            denoising_seconds=self.denoising_seconds,
        )

    def _next(self) -> Canvas:
        self._canvases += 1
        self._steps_before = self._steps
        return Canvas(self._length, self.course)

    def _cut(self, tokens: Sequence[int]) -> list[int]:
        """The tokens before the first one that ends the turn."""
        ends = self._tokenizer.vocabulary.ends
        stop = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
        return list(tokens[:stop])


@contextmanager
def prefilling(turns: Sequence[Turn]) -> Iterator[None]:
    """The encoder works for these turns; its seconds are shared out among them."""
    began = time.perf_counter()
    try:
        yield
    finally:
        for turn in turns:
            turn.prefill_seconds += (time.perf_counter() - began) / len(turns)


@contextmanager
def denoising(turns: Sequence[Turn]) -> Iterator[None]:
    """The denoiser works for these turns; its seconds are shared out among them."""
    began = time.perf_counter()
    try:
        yield
    finally:
        for turn in turns:
            turn.denoising_seconds += (time.perf_counter() - began) / len(turns)
