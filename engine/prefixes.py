"""Beginnings that prompts share: encoded once, kept, and taken up again.

What several prompts of a batch begin with is worth keeping, and so is what a prompt has in common
with the one before it: instructions and a schema, or the conversation so far. The encoder is
causal, and reads a text in blocks: behind a beginning of whole blocks, the rest of it reads to the
last bit as if it had never been kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cache import KVCache
from .model import DiffusionGemma
from .views import BLOCK


@dataclass(frozen=True, eq=False)
class Beginning:
    """The encoded beginning of a prompt, of which `cached` tokens were not encoded for it."""

    cache: KVCache
    cached: int


class Prefixes:
    """Kept beginnings, together of at most `most_tokens`: the one that has not been used for the
    longest time goes first."""

    def __init__(self, model: DiffusionGemma, most_tokens: int) -> None:
        self._model = model
        self._most_tokens = most_tokens
        self._kept: dict[tuple[int, ...], KVCache] = {}  # least recently used first
        self._last: Sequence[int] = ()  # the prompt before

    def begin(self, prompts: Sequence[Sequence[int]]) -> list[Beginning]:
        """The longest beginning of each prompt that is kept, once what they share is."""
        if not prompts:
            return []
        # the last token of a prompt is always read: what follows it is wanted
        inner = [prompt[:-1] for prompt in prompts]
        alike = inner if len(inner) > 1 else [self._last, *inner]
        self._last = inner[-1]
        shared = tuple(inner[0][: _common_blocks(alike)])
        known = self._find(shared)
        fresh = len(shared) - known.length
        if fresh:
            self._keep(shared, known)
        caches = [self._find(prompt) for prompt in inner]
        first, *others = (Beginning(cache, cache.length) for cache in caches)
        return [Beginning(first.cache, max(0, first.cached - fresh)), *others]

    def _find(self, prompt: Sequence[int]) -> KVCache:
        """A cache of the longest kept beginning, which may be empty."""
        lengths = {kept: _common_blocks([kept, prompt]) for kept in self._kept}
        best = max(lengths, key=lengths.__getitem__, default=None)
        if best is None or not lengths[best]:
            return self._model.new_cache()
        self._kept[best] = self._kept.pop(best)
        return self._kept[best].first(lengths[best])

    def _keep(self, shared: tuple[int, ...], known: KVCache) -> None:
        """Encode what is not known of a beginning, and keep it in place of what it goes on from."""
        rest = shared[known.length :]
        self._model.run([self._model.reading(rest, known, 1)])
        known.length += len(rest)
        shorter = [kept for kept in self._kept if kept == shared[: len(kept)]]
        for kept in shorter:
            del self._kept[kept]
        self._kept[shared] = known
        while sum(map(len, self._kept)) > self._most_tokens:
            del self._kept[next(iter(self._kept))]


def _common_blocks(texts: Sequence[Sequence[int]]) -> int:
    """How many tokens all texts begin with, in whole blocks."""
    columns = enumerate(zip(*texts, strict=False))
    differing = (place for place, tokens in columns if len(set(tokens)) > 1)
    return next(differing, min(map(len, texts))) // BLOCK * BLOCK
