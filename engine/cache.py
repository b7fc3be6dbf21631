"""The keys and values of what a model has read.

Letters in shapes: B batch, T tokens read, P prefix in the cache, G key-value heads, K head width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .vision import Patches


class KVCache:
    """Keys and values of the first `length` tokens of a text, one pair of [B, G, P, K] a layer.

    Storage is allocated ahead, so that a pass writes its own keys behind a prefix and reads both as
    one view, without a copy. `images` are those that may stand in the text, each by the number that
    stands in their place there (`images.py`).
    """

    def __init__(self, layers: int) -> None:
        self.length = 0
        self.images: Mapping[int, Patches] = {}
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def prefix(self, layer: int) -> tuple[Tensor, Tensor]:
        """The keys and values of a layer, each [B, G, P, K]."""
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None
        assert values is not None
        return keys[:, :, : self.length], values[:, :, : self.length]

    def fill(self, layers: Sequence[tuple[Tensor, Tensor]], length: int) -> None:
        """Take the keys and values of a text of `length` tokens for its own, with what room there
        is behind them."""
        self.length = length
        for layer, (keys, values) in enumerate(layers):
            self._keys[layer], self._values[layer] = keys, values

    def cut(self, start: int) -> list[tuple[Tensor, Tensor]]:
        """A copy of what stands behind the first `start` tokens; `put` brings it back."""
        if start == self.length:
            return []
        layers = map(self.prefix, range(len(self._keys)))
        return [
            (keys[:, :, start:].clone(), values[:, :, start:].clone()) for keys, values in layers
        ]

    def put(self, start: int, cut: list[tuple[Tensor, Tensor]]) -> None:
        """Bring back what was cut, whatever has been written over it."""
        for layer, (keys, values) in enumerate(cut):
            self.write(layer, keys, values, start)

    def write(self, layer: int, keys: Tensor, values: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Write [B, G, T, K] behind the first `start` tokens and return them and the new together.

        The text grows only when `length` is advanced: until then the next one to write overwrites.
        """
        stored_keys, stored_values = self._keys[layer], self._values[layer]
        if stored_keys is None or stored_values is None:
            self._keys[layer], self._values[layer] = keys, values
            return keys, values
        if torch.is_grad_enabled():  # training: storage that autograd can follow
            return (
                torch.cat([stored_keys[:, :, :start], keys], dim=2),
                torch.cat([stored_values[:, :, :start], values], dim=2),
            )
        end = start + keys.shape[2]
        if end > stored_keys.shape[2]:
            stored_keys = _grown(stored_keys, self.length, end)
            stored_values = _grown(stored_values, self.length, end)
            self._keys[layer], self._values[layer] = stored_keys, stored_values
        stored_keys[:, :, start:end] = keys
        stored_values[:, :, start:end] = values
        return stored_keys[:, :, :end], stored_values[:, :, :end]


def _grown(stored: Tensor, length: int, needed: int) -> Tensor:
    """`stored` with room for `needed` positions and a quarter more; the first `length` kept."""
    batch, heads, _, width = stored.shape
    larger = stored.new_empty(batch, heads, needed + needed // 4, width)
    larger[:, :, :length] = stored[:, :, :length]
    return larger
