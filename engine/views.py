"""What a pass reads, and which keys its tokens see.

Letters in shapes: B batch, T tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .cache import KVCache

BLOCK = 64
"""Tokens of a text that are read for attention at a time. Where a beginning is kept that ends with
a block, what follows it is computed as if it had been read in one go, to the last bit."""
MOST_READ = 32 * BLOCK
"""Tokens of a prompt that one pass reads: whole blocks, so that it is read as in one go."""


@dataclass(frozen=True, eq=False)
class Span:
    """The keys that some tokens see: those of the cache from `first` to `end`, under a mask [B or
    1, 1, T or 1, end - first] where there is one; with `causal`, each those before itself."""

    first: int
    end: int
    mask: Tensor | None = None
    causal: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """A view's tokens from `first` to `end`, and what they see in either kind of layer."""

    first: int
    end: int
    full: Span
    sliding: Span


@dataclass(frozen=True, eq=False)
class View:
    """Tokens behind the first `start` of a cache, block by block. Of the last layer the states of
    the last `wanted` are; `denoises` says whose pass it is."""

    tokens: int
    wanted: int
    cache: KVCache
    start: int
    blocks: Sequence[Block]
    denoises: bool = False


@dataclass(frozen=True, eq=False)
class Pass:
    """Tokens [T] of one row that the encoder or the denoiser is to read, at their positions [T];
    `soft` [T, D] carries a denoiser's previous step. The denoiser leaves the cache as it was."""

    tokens: Tensor
    positions: Tensor
    view: View
    soft: Tensor | None = None


def are_canvases(passes: Sequence[Pass]) -> bool:
    """Whether all passes are the denoiser's, over canvases of one length."""
    lengths = {len(one.tokens) for one in passes}
    return len(lengths) == 1 and all(one.view.denoises for one in passes)


def causal_blocks(start: int, count: int, window: int, device: torch.device) -> list[Block]:
    """`count` tokens behind `start` others: each sees those before it, in a sliding layer the last
    `window`, itself counted."""
    return [
        causal_block(start, first, min(first + BLOCK, count), window, device)
        for first in range(0, count, BLOCK)
    ]


def causal_block(start: int, first: int, end: int, window: int, device: torch.device) -> Block:
    """The tokens from `first` to `end` of those behind `start` others."""
    oldest = max(0, start + first - window + 1)
    seen = torch.arange(start + end, device=device)
    positions = seen[start + first :, None]
    full = seen <= positions  # [T, start + end]
    sliding = (full & (seen > positions - window))[:, oldest:]
    return Block(
        first,
        end,
        Span(0, start + end, full[None, None]),
        Span(oldest, start + end, sliding[None, None]),
    )
