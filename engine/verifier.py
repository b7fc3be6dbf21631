"""The encoder checks what the denoiser drafted.

DiffusionGemma's encoder is trained on next tokens beside the denoiser, with the same weights. A
canvas has to pass through it anyway to be committed; the same pass says which token the encoder
itself would have written at every position. A draft is kept up to the first position where the two
differ, and the encoder's token is put there. What is committed is then what greedy next-token
decoding under the constraint would have written, in as many passes as the drafts need (the idea of
speculative decoding, arXiv 2211.17192, with the denoiser as the drafter).

Because the encoder corrects it, a draft need not be settled: one denoising step makes it, and what
the check has kept stays in the *same canvas*, clean among noise, as the denoiser was trained to
see it. (A canvas that began anew behind each correction, where no training canvas began, took four
times as many steps.) The next step is conditioned on the last, as in the sampler.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .canvas import Canvas
from .model import DiffusionGemma, KVCache
from .sampler import Noise, Reading, temper


class Verifier:
    """Writes one turn's canvases: `draft` and `check` by turns until a canvas is full, then
    `commit`. In between the cache holds the committed prefix."""

    def __init__(
        self, model: DiffusionGemma, cache: KVCache, noise: Noise, window: int | None
    ) -> None:
        self._model = model
        self._cache = cache
        self._noise = noise
        self._window = window
        self._before = torch.empty(0)  # [1, D] the encoder's state before the canvas
        self._states = torch.empty(0)  # [T, D] its states at the canvas's encoded tokens
        self._soft: Tensor | None = None  # [1, L, D] of the last draft
        self._logp = torch.empty(0)  # [L, V] of the last draft
        self._reading = Reading(self._logp, 0)

    def commit(self, tokens: Sequence[int]) -> None:
        """Encode a prompt or a full canvas; what comes next stands behind it."""
        self._before = self._encode(tokens, self._cache.length)[-1:]
        self._states, self._soft = self._before[:0], None

    def read(self, canvas: Canvas) -> None:
        """Where the constraint leaves a few ways on, take the one that the encoder finds the most
        probable: each is scored as a whole, exactly, all in one pass and without a draft."""
        while not canvas.is_full and (words := canvas.course.alternatives()):
            start, done = self._cache.length, len(self._states)
            if done < len(canvas.known):
                states = self._encode(canvas.known[done:], start + done)
                self._states = torch.cat([self._states, states])
            self._cache.length = start + len(canvas.known)
            branches = self._model.branches(words, self._cache)
            self._cache.length = start
            before = torch.cat([self._before, self._states])[-1:]
            scores = [
                self._score(word, torch.cat([before, states[:-1]]), canvas.course.ends)
                for word, states in zip(words, branches, strict=True)
            ]
            canvas.settle(words[max(range(len(words)), key=scores.__getitem__)])

    def draft(self, canvas: Canvas) -> list[int]:
        """One denoising step: what is known stands in the canvas, the rest is noise. Returns what
        the canvas reads as."""
        first = len(canvas.known)
        length = canvas.length
        if self._window is not None:
            longest = canvas.course.longest(self._window)
            length = min(length, first + (longest or self._window))
        known = torch.tensor(canvas.known, dtype=torch.long, device=self._model.device)
        tokens = self._noise.tokens(canvas.length)[:length]
        tokens[:first] = known
        soft = self._conditioning(known, length)
        step = temper(self._model.denoise(tokens[None], self._cache, soft)[0], 1.0)
        self._soft = self._model.soften(step.probabilities)[None]
        self._logp = step.log_probabilities()
        self._states = self._before[:0]  # the denoiser's keys have taken the place of the encoder's
        self._reading = canvas.course.read(self._logp[first:])
        return [*canvas.known, *self._reading.tokens[: canvas.course.tokens_left].tolist()]

    def check(self, canvas: Canvas) -> None:
        """Settle the draft up to the first token that the encoder would not have written, and
        there the encoder's.

        Under a constraint what the step's distribution says of the positions behind the correction
        is then read anew, from the state that the correction led to, and checked once more. Without
        one the rest of a draft stays what it was: the second pass costs more than it saves.
        """
        self._settle(canvas, self._reading)
        rest = self._logp[len(canvas.known) :]
        if canvas.course.rereads and len(rest) and not canvas.is_full:
            self._settle(canvas, canvas.course.read(rest))

    def _settle(self, canvas: Canvas, reading: Reading) -> None:
        draft = reading.tokens[: min(reading.length, canvas.course.tokens_left)].tolist()
        first, start, done = len(canvas.known), self._cache.length, len(self._states)
        states = self._encode([*canvas.known[done:], *draft], start + done)
        self._cache.length = start
        states = torch.cat([self._states, states])
        logits = self._model.logits(torch.cat([self._before, states[:-1]])[first:])
        if (allowed := canvas.course.allowed(draft)) is not None:
            logits = logits.masked_fill(~allowed.to(logits.device), float("-inf"))
        written = logits.argmax(-1).tolist()
        kept = 0
        while kept < len(draft) and draft[kept] == written[kept]:
            kept += 1
        self._states = states[: first + kept]
        canvas.settle(written[: kept + 1])

    def _encode(self, tokens: Sequence[int], start: int) -> Tensor:
        """Read tokens behind the first `start` of the cache; their states [T, D]."""
        self._cache.length = start
        batch = torch.tensor([tokens], device=self._model.device)
        return self._model.encode(batch, self._cache)[0]

    def _conditioning(self, known: Tensor, length: int) -> Tensor | None:
        """The last draft's soft embeddings, cut or filled with zeros to a length, and the known
        tokens' own."""
        if self._soft is None:
            return None
        soft = self._soft.new_zeros(1, length, self._soft.shape[2])
        shared = min(length, self._soft.shape[1])
        soft[:, :shared] = self._soft[:, :shared]
        soft[0, : len(known)] = self._model.embed(known)
        return soft

    def _score(self, word: Sequence[int], before: Tensor, ends: Sequence[int]) -> float:
        """The log-probability of a word's tokens; any end token is as good as another."""
        logp = self._model.logits(before).log_softmax(-1)
        logp[:, list(ends)] = logp[:, list(ends)].logsumexp(-1, keepdim=True)
        return float(logp.gather(1, torch.tensor(word, device=logp.device)[:, None]).sum())
