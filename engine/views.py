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
LAUNCHED = 8 * BLOCK
"""The same on a GPU, where each block is a launch for each row and layer, and the last bit depends
on more than this."""
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
    `soft` [T, D] carries a denoiser's previous step. The denoiser leaves the cache as it was.
    `images` are soft tokens [S, D] that go in in the place of tokens, from the first of them on."""

    tokens: Tensor
    positions: Tensor
    view: View
    soft: Tensor | None = None
    images: Sequence[tuple[int, Tensor]] = ()


def are_canvases(passes: Sequence[Pass]) -> bool:
    """Whether all passes are the denoiser's, over canvases of one length."""
    lengths = {len(one.tokens) for one in passes}
    return len(lengths) == 1 and all(one.view.denoises for one in passes)


def image_runs(tokens: Sequence[int]) -> list[tuple[int, int]]:
    """From where to where images stand in a text: each is one negative number, as often as it has
    soft tokens, and there is always a token between two."""
    runs: list[tuple[int, int]] = []
    for place, token in enumerate(tokens):
        if token >= 0:
            continue
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def causal_blocks(
    start: int,
    count: int,
    window: int,
    device: torch.device,
    images: Sequence[tuple[int, int]] = (),
) -> list[Block]:
    """`count` tokens behind `start` others: each sees those before it, in a sliding layer the last
    `window`, itself counted, and if it is one of an image's, from its first to its end among the
    `count`, all of that image.

    (In layers of both kinds, and beyond the window: so `generation_diffusion_gemma.py` masks.
    Gemma 4's own rule is another, in sliding layers only and within the window:
    huggingface/transformers#46711.)
    """
    size = BLOCK if device.type == "cpu" else LAUNCHED
    return [
        causal_block(start, first, min(first + size, count), window, device, images)
        for first in range(0, count, size)
    ]


def causal_block(
    start: int,
    first: int,
    end: int,
    window: int,
    device: torch.device,
    images: Sequence[tuple[int, int]] = (),
) -> Block:
    """The tokens from `first` to `end` of those behind `start` others."""
    inside = [image for image in images if image[0] < end and image[1] > first]
    oldest = max(0, start + first - window + 1)
    oldest = min([oldest, *(start + begin for begin, _ in inside)])
    last = start + max([end, *(stop for _, stop in inside)])
    seen = torch.arange(last, device=device)
    positions = seen[start + first : start + end, None]
    full = seen <= positions  # [T, last]
    sliding = full & (seen > positions - window)
    for begin, stop in inside:
        own = slice(max(0, begin - first), stop - first), slice(start + begin, start + stop)
        full[own] = sliding[own] = True
    return Block(
        first,
        end,
        Span(0, last, full[None, None]),
        Span(oldest, last, sliding[None, None, :, oldest:]),
    )
