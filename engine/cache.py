"""The keys and values of what a model has read.

A full layer keeps them of the whole text, a sliding one of what its window still shows, once the
rest is trimmed. Places in a text are counted from its beginning, whatever is kept.

Letters in shapes: B batch, T tokens read, P what is kept, G key-value heads, K head width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .vision import Patches

ROOM = 256
"""Storage grows by so many tokens at a time."""


def rooms(tokens: int) -> int:
    """How many tokens storage for so many has room for."""
    return -(-tokens // ROOM) * ROOM


@dataclass(frozen=True, eq=False)
class Kept:
    """A layer's keys and values [B, G, P, K] of a text from its token `first` on."""

    keys: Tensor
    values: Tensor
    first: int = 0

    def part(self, first: int, end: int) -> Kept:
        """Those of the tokens from `first` to `end`, not copied."""
        span = slice(first - self.first, end - self.first)
        return Kept(self.keys[:, :, span], self.values[:, :, span], first)

    def grown(self, length: int, end: int, first: int) -> Kept:
        """A copy with room up to `end` and somewhat more, of what is kept from `first` to
        `length`."""
        room = rooms(end - first)
        own = self.part(first, length)
        keys, values = (_with_room(one, room) for one in (own.keys, own.values))
        return Kept(keys, values, first)


class KVCache:
    """Keys and values of the first `length` tokens of a text.

    Storage is allocated ahead, so that a pass writes its own keys behind a prefix and reads both as
    one view, without a copy. `images` are those that may stand in the text, each by the number that
    stands in their place there (`images.py`).
    """

    def __init__(self, windows: Sequence[int | None]) -> None:
        """`windows` says of each layer how many tokens one sees, itself counted: `None` for all."""
        self.length = 0
        self.images: Mapping[int, Patches] = {}
        self._windows = windows
        self._layers: list[Kept | None] = [None] * len(windows)

    @property
    def first(self) -> int:
        """The token from which on all layers keep the text."""
        return max((kept.first for kept in self._layers if kept), default=0)

    def prefix(self, layer: int) -> tuple[Tensor, Tensor]:
        """What is kept of a layer's keys and values, each [B, G, P, K]."""
        kept = self._of(layer)
        part = kept.part(kept.first, self.length)
        return part.keys, part.values

    def part(self, layer: int, first: int, end: int) -> Kept:
        """A layer's keys and values of the tokens from `first` to `end`."""
        return self._of(layer).part(first, end)

    def fill(self, layers: Sequence[Kept], length: int) -> None:
        """Take the keys and values of a text of `length` tokens for its own, with what room there
        is behind them."""
        self.length = length
        self._layers = list(layers)

    def trim(self) -> None:
        """Forget what no token behind the text will see in a sliding layer."""
        for layer, window in enumerate(self._windows):
            kept = self._layers[layer]
            if kept is None or window is None:
                continue
            oldest = max(0, self.length - window + 1)
            if oldest > kept.first:
                self._layers[layer] = kept.grown(self.length, self.length, oldest)

    def cut(self, start: int) -> list[Kept]:
        """A copy of what stands behind the first `start` tokens; `put` brings it back."""
        if start == self.length:
            return []
        parts = (self.part(layer, start, self.length) for layer in range(len(self._layers)))
        return [Kept(part.keys.clone(), part.values.clone(), start) for part in parts]

    def put(self, cut: Sequence[Kept]) -> None:
        """Bring back what was cut, whatever has been written over it."""
        for layer, kept in enumerate(cut):
            self.write(layer, kept.keys, kept.values, kept.first)

    def write(self, layer: int, keys: Tensor, values: Tensor, start: int) -> Kept:
        """Write [B, G, T, K] behind the first `start` tokens and return them and what is kept
        before them together.

        The text grows only when `length` is advanced: until then the next one to write overwrites.
        """
        kept = self._layers[layer]
        if kept is None:
            self._layers[layer] = kept = Kept(keys, values)
            return kept
        if torch.is_grad_enabled():  # training: storage that autograd can follow
            before = kept.part(kept.first, start)
            return Kept(
                torch.cat([before.keys, keys], dim=2),
                torch.cat([before.values, values], dim=2),
                kept.first,
            )
        end = start + keys.shape[2]
        if end - kept.first > kept.keys.shape[2]:
            self._layers[layer] = kept = kept.grown(self.length, end, kept.first)
        written = kept.part(start, end)
        written.keys.copy_(keys)
        written.values.copy_(values)
        return kept.part(kept.first, end)

    def _of(self, layer: int) -> Kept:
        kept = self._layers[layer]
        assert kept is not None, "nothing was read"
        return kept


def _with_room(own: Tensor, room: int) -> Tensor:
    """A copy of [B, G, P, K] at the beginning of [B, G, room, K]."""
    batch, heads, length, width = own.shape
    larger = own.new_empty(batch, heads, room, width)
    larger[:, :, :length] = own
    return larger
