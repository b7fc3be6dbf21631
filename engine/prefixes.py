"""Beginnings of prompts: encoded once, kept, and taken up by whoever begins alike.

What is kept is a tree of blocks of tokens. A path from its root is a text that was read, and each
block has its keys and values in a slot of a pool that is as large as it will ever be: what one
agent leaves there another, or a job, goes on from, and the block at a path's end that was not used
for the longest time makes room. (Paged caches: arXiv 2309.06180; the tree: arXiv 2312.07104.)

The encoder is causal and reads a text in blocks: behind a beginning of whole blocks, the rest of it
reads to the last bit as if it had never been kept. Images are the exception, for what is in one
sees it all: no beginning ends inside one. An image stands in a text as a number of its own
(`images.py`), so that another image makes another text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cache import KVCache
from .model import DiffusionGemma
from .views import BLOCK

if TYPE_CHECKING:
    from .vision import Patches

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Beginning:
    """The encoded beginning of a prompt, of which `cached` tokens were not encoded for it."""

    cache: KVCache
    cached: int


@dataclass(eq=False)
class Node:
    """A block behind its parent's; `used` is when, on a clock that counts uses."""

    tokens: Tokens
    parent: Node | None
    slot: int
    used: int = 0
    children: dict[Tokens, Node] = field(default_factory=dict)


class Prefixes:
    """Kept beginnings of at most `most_blocks` blocks in all."""

    def __init__(self, model: DiffusionGemma, most_blocks: int) -> None:
        self._model = model
        self._root = Node((), None, -1)
        self._free = list(range(most_blocks))
        self._clock = 0
        # of a layer: keys and values of all slots, each [S, G, BLOCK, K]
        self._pool: list[tuple[Tensor, Tensor]] = []
        self._most_blocks = most_blocks

    def __iter__(self) -> Iterator[Node]:
        """All blocks that are kept."""
        found = list(self._root.children.values())
        while found:
            node = found.pop()
            yield node
            found += node.children.values()

    def begin(
        self, prompts: Sequence[Sequence[int]], images: Mapping[int, Patches] | None = None
    ) -> list[Beginning]:
        """The longest beginning of each prompt that is kept, once what all of them share is. The
        `images` are those of all prompts, each by the number that stands for it."""
        images = images or {}
        # the last token of a prompt is always read: what follows it is wanted
        inner = [prompt[:-1] for prompt in prompts]
        fresh = self._read_shared(inner, images) if len(inner) > 1 else 0
        begun = []
        for number, prompt in enumerate(inner):
            path = self._whole_path(prompt)
            cached = len(path) * BLOCK - (0 if number else fresh)
            begun.append(Beginning(self._cache(path, images), max(0, cached)))
        return begun

    def keep(self, prompt: Sequence[int], cache: KVCache) -> None:
        """Keep what a cache holds of a prompt, in whole blocks."""
        self._keep(prompt[: min(cache.length, len(prompt) - 1)], cache)

    def _keep(self, read: Sequence[int], cache: KVCache) -> int:
        """Keep the blocks of a text that a cache holds; how many of its tokens are kept now."""
        path = self._path(read)
        node = path[-1] if path else self._root
        for number in range(len(path), len(read) // BLOCK):
            slot = self._slot()
            if slot is None:
                return _outside(read, number) * BLOCK
            first, end = number * BLOCK, (number + 1) * BLOCK
            self._store(slot, cache, first, end)
            tokens = tuple(read[first:end])
            node.children[tokens] = node = Node(tokens, node, slot, self._clock)
        return len(read) // BLOCK * BLOCK

    def _read_shared(self, prompts: Sequence[Sequence[int]], images: Mapping[int, Patches]) -> int:
        """Have what all prompts begin with kept; how many tokens were encoded for that."""
        shared = prompts[0][: _outside(prompts[0], _common_blocks(prompts)) * BLOCK]
        path = self._whole_path(shared)
        known = len(path) * BLOCK
        if known == len(shared):
            return 0
        cache = self._cache(path, images)
        rest = shared[known:]
        self._model.run([self._model.reading(rest, cache, 1)])
        cache.length += len(rest)
        return self._keep(shared, cache) - known

    def _path(self, text: Sequence[int]) -> list[Node]:
        """The kept blocks that a text begins with, used now."""
        self._clock += 1
        path: list[Node] = []
        node = self._root
        for first in range(0, len(text) - BLOCK + 1, BLOCK):
            found = node.children.get(tuple(text[first : first + BLOCK]))
            if found is None:
                break
            node = found
            node.used = self._clock
            path.append(node)
        return path

    def _whole_path(self, text: Sequence[int]) -> list[Node]:
        """The kept blocks that a text begins with, up to the last that ends outside an image."""
        path = self._path(text)
        return path[: _outside(text, len(path))]

    def _slot(self) -> int | None:
        """A free slot: the block's at a path's end that was used the longest time ago, unless it
        was now."""
        if self._free:
            return self._free.pop()
        ends = (node for node in self if not node.children)
        oldest = min(ends, key=lambda node: node.used, default=None)
        if oldest is None or oldest.used == self._clock:
            return None
        assert oldest.parent is not None
        del oldest.parent.children[oldest.tokens]
        return oldest.slot

    def _store(self, slot: int, cache: KVCache, first: int, end: int) -> None:
        layers = [cache.prefix(layer) for layer in range(self._model.config.num_hidden_layers)]
        if not self._pool:
            self._pool = [(self._slots(keys), self._slots(values)) for keys, values in layers]
        for (keys, values), (kept_keys, kept_values) in zip(layers, self._pool, strict=True):
            kept_keys[slot] = keys[0, :, first:end]
            kept_values[slot] = values[0, :, first:end]

    def _slots(self, like: Tensor) -> Tensor:
        _, groups, _, width = like.shape
        return like.new_empty(self._most_blocks, groups, BLOCK, width)

    def _cache(self, path: Sequence[Node], images: Mapping[int, Patches]) -> KVCache:
        """A cache of its own of the blocks of a path, with room for more."""
        cache = self._model.new_cache()
        cache.images = images
        if not path:
            return cache
        slots = torch.tensor([node.slot for node in path], device=self._model.device)
        layers = [(_joined(keys[slots]), _joined(values[slots])) for keys, values in self._pool]
        cache.fill(layers, len(path) * BLOCK)
        return cache


def blocks_in(most_bytes: int, model: DiffusionGemma) -> int:
    """How many blocks' keys and values have room in so many bytes."""
    config, size = model.config, model.embed_tokens.weight.dtype.itemsize
    layers = range(config.num_hidden_layers)
    width = sum(config.key_value_heads(layer) * config.head_size(layer) for layer in layers)
    return most_bytes // (2 * width * size * BLOCK)


def _joined(blocks: Tensor) -> Tensor:
    """Blocks [N, G, BLOCK, K] behind each other, [1, G, N · BLOCK, K], and room for a quarter more
    and a block."""
    count, groups, _, width = blocks.shape
    room = count * BLOCK + count * BLOCK // 4 + BLOCK
    joined = blocks.new_empty(1, groups, room, width)
    own = joined[0, :, : count * BLOCK].unflatten(1, (count, BLOCK))  # [G, N, BLOCK, K]
    own.copy_(blocks.transpose(0, 1))
    return joined


def _common_blocks(texts: Sequence[Sequence[int]]) -> int:
    """How many whole blocks all texts begin with."""
    columns = enumerate(zip(*texts, strict=False))
    differing = (place for place, tokens in columns if len(set(tokens)) > 1)
    return next(differing, min(map(len, texts))) // BLOCK


def _outside(text: Sequence[int], blocks: int) -> int:
    """The most of a text's first `blocks` blocks that end outside an image. Where a text ends in an
    image, more of it may follow."""
    while blocks and text[blocks * BLOCK - 1] < 0:
        blocks -= 1
    return blocks
