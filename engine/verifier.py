"""The encoder checks what the denoiser drafted.

DiffusionGemma's encoder is trained on next tokens beside the denoiser, with the same weights. A
canvas has to pass through it anyway to be committed; the same pass says which token the encoder
itself would have written at every position. The draft is kept up to the first position where the
two differ, the encoder's token is put there, and the next canvas goes on behind it. What is
committed is then what greedy next-token decoding under the constraint would have written, in as
many passes as the drafts need (the idea of speculative decoding, arXiv 2211.17192, with the
denoiser as the drafter).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import DiffusionGemma, KVCache


@dataclass(frozen=True)
class Verdict:
    """The tokens to commit, and whether the last one is a correction of the draft."""

    tokens: list[int]
    corrected: bool


class Verifier:
    """Follows one turn; it holds the encoder's state before the next position."""

    def __init__(self, model: DiffusionGemma, cache: KVCache) -> None:
        self._model = model
        self._cache = cache
        self._last: Tensor | None = None  # [1, D]

    def encode(self, tokens: Sequence[int]) -> Tensor:
        """Commit tokens to the cache; returns their states [T, D]."""
        batch = torch.tensor([tokens], device=self._model.device)
        states = self._model.encode(batch, self._cache)[0]
        self._last = states[-1:]
        return states

    def verify(
        self, draft: Sequence[int], allowed: Callable[[Sequence[int]], Tensor] | None
    ) -> Verdict:
        """Commit the draft up to the first token that the encoder would not have written.

        `allowed` gives, for the draft, the tokens [len(draft), V] that may stand at each of its
        positions when all before it is as drafted; without it, every token may.
        """
        assert self._last is not None, "the prompt is encoded first"
        start, before = self._cache.length, self._last
        states = self.encode(draft)
        logits = self._model.logits(torch.cat([before, states[:-1]]))  # [len(draft), V]
        if allowed is not None:
            logits = logits.masked_fill(~allowed(draft).to(logits.device), float("-inf"))
        differs = (logits.argmax(-1) != torch.tensor(draft, device=logits.device)).nonzero()
        if not len(differs):
            return Verdict(list(draft), corrected=False)
        kept = int(differs[0])
        correction = int(logits[kept].argmax())
        self._cache.length = start + kept
        self.encode([correction])
        return Verdict([*draft[:kept], correction], corrected=True)
