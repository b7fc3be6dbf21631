"""Beginnings of prompts: encoded once, kept, and taken up by whoever begins alike.

What is kept is a tree of blocks of tokens. A path from its root is a text that was read, and each
block has its keys and values in a slot of a pool that is as large as it will ever be: what one
agent leaves there another, or a job, goes on from, and the block at a path's end that was not used
for the longest time makes room. (Paged caches: arXiv 2309.06180; the tree: arXiv 2312.07104.)

Sliding layers have most of the bytes (ten of eleven in the 26B), and a text goes on from what their
window shows of it alone. So they have slots of their own, which are given to the blocks before
which a text went on or ended last: a path may be taken up to wherever a window of blocks still has
theirs.

The encoder is causal and reads a text in blocks: behind a beginning of whole blocks, the rest of it
reads to the last bit as if it had never been kept. Images are the exception, for what is in one
sees it all: no beginning ends inside one. An image stands in a text as a number of its own
(`images.py`), so that another image makes another text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cache import Kept, KVCache, rooms
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
    """A block behind its parent's; `used` is when, on a clock that counts uses. `slot` is that of
    its full layers, `window` that of its sliding ones, which it may have lost."""

    tokens: Tokens
    parent: Node | None
    slot: int
    used: int = 0
    window: int | None = None
    children: dict[Tokens, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Slots:
    """How many blocks have room: in full layers, and in sliding ones."""

    full: int
    sliding: int


class Prefixes:
    """Kept beginnings, of no more blocks than there are slots."""

    def __init__(self, model: DiffusionGemma, slots: Slots) -> None:
        self._model = model
        self._slots = slots
        self._root = Node((), None, -1)
        self._free = list(range(slots.full))
        self._free_windows = list(range(slots.sliding))
        self._windows: OrderedDict[Node, None] = OrderedDict()  # that have theirs, as last used
        self._seen = -(-(model.config.sliding_window - 1) // BLOCK)  # blocks that a window shows
        self._sliding = [kind == "sliding_attention" for kind in model.config.layer_types]
        self._clock = 0
        self._pool: list[Kept] = []  # of a layer: all its slots, [S, G, BLOCK, K]

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
        """The longest beginning of each prompt that is kept, once what those that begin alike share
        is. The `images` are those of all prompts, each by the number that stands for it."""
        images = images or {}
        # the last token of a prompt is always read: what follows it is wanted
        inner = [prompt[:-1] for prompt in prompts]
        alike: dict[Tokens, list[int]] = {}
        for number, prompt in enumerate(inner):
            alike.setdefault(tuple(prompt[:BLOCK]), []).append(number)
        fresh = [0] * len(inner)  # tokens that were encoded for the first of them
        for first, *others in alike.values():
            if others:
                shared = [inner[number] for number in (first, *others)]
                fresh[first] = self._read_shared(shared, images)
        begun = []
        for prompt, read in zip(inner, fresh, strict=True):
            path = self._usable(prompt)
            begun.append(Beginning(self._cache(path, images), max(0, len(path) * BLOCK - read)))
        return begun

    def keep(self, prompt: Sequence[int], cache: KVCache) -> None:
        """Keep what a cache holds of a prompt, in whole blocks."""
        self._keep(prompt[: min(cache.length, len(prompt) - 1)], cache)

    def _keep(self, read: Sequence[int], cache: KVCache) -> int:
        """Keep the blocks of a text that a cache holds; how many of its tokens are kept now."""
        path = self._path(read)
        for number in range(len(path), len(read) // BLOCK):
            slot = self._slot()
            if slot is None:
                break
            first, end = number * BLOCK, (number + 1) * BLOCK
            self._store(cache, first, end, slot, sliding=False)
            node = path[-1] if path else self._root
            tokens = tuple(read[first:end])
            path.append(Node(tokens, node, slot, self._clock))
            node.children[tokens] = path[-1]
        kept = len(path) * BLOCK
        first = max(cache.first, kept - self._slots.sliding * BLOCK)
        for number in range(-(-first // BLOCK), len(path)):
            if path[number].window is None:
                self._store_window(path[number], cache, number * BLOCK)
        return kept

    def _store_window(self, node: Node, cache: KVCache, first: int) -> None:
        """Give a block a slot in the sliding layers: a free one, or that of the block which was
        used the longest time ago."""
        if self._free_windows:
            node.window = self._free_windows.pop()
        else:
            oldest, _ = self._windows.popitem(last=False)
            node.window, oldest.window = oldest.window, None
        assert node.window is not None
        self._windows[node] = None
        self._store(cache, first, first + BLOCK, node.window, sliding=True)

    def _read_shared(self, prompts: Sequence[Sequence[int]], images: Mapping[int, Patches]) -> int:
        """Have what all prompts begin with kept; how many tokens were encoded for that."""
        shared = prompts[0][: outside(prompts[0], _common_blocks(prompts)) * BLOCK]
        path = self._usable(shared)
        known = len(path) * BLOCK
        if known == len(shared):
            return 0
        cache = self._cache(path, images)
        rest = shared[known:]
        self._model.run([self._model.reading(rest, cache, 1)])
        cache.length += len(rest)
        return max(0, self._keep(shared, cache) - known)

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
        if oldest.window is not None:
            self._free_windows.append(oldest.window)
            del self._windows[oldest]
        return oldest.slot

    def _usable(self, text: Sequence[int]) -> list[Node]:
        """The kept blocks that a text can go on from: they end outside an image, and the sliding
        layers have the last of them. These are used now."""
        path = self._path(text)
        end = run = 0
        for place, node in enumerate(path, 1):
            run = run + 1 if node.window is not None else 0
            if run >= min(place, self._seen) and outside(text, place) == place:
                end = place
        for node in path[max(0, end - self._seen) : end]:
            self._windows.move_to_end(node)
        return path[:end]

    def _store(self, cache: KVCache, first: int, end: int, slot: int, *, sliding: bool) -> None:
        """Copy a block's keys and values into its slot of one kind of layers."""
        if not self._pool:
            self._pool = [self._room(cache, layer) for layer in range(len(self._sliding))]
        for layer, pool in enumerate(self._pool):
            if self._sliding[layer] == sliding:
                part = cache.part(layer, first, end)
                pool.keys[slot] = part.keys[0]
                pool.values[slot] = part.values[0]

    def _room(self, cache: KVCache, layer: int) -> Kept:
        count = self._slots.sliding if self._sliding[layer] else self._slots.full
        keys, values = cache.prefix(layer)
        _, groups, _, width = keys.shape
        shape = (count, groups, BLOCK, width)
        return Kept(keys.new_empty(shape), values.new_empty(shape))

    def _cache(self, path: Sequence[Node], images: Mapping[int, Patches]) -> KVCache:
        """A cache of its own of the blocks of a path, with room for more."""
        cache = self._model.new_cache()
        cache.images = images
        if not path:
            return cache
        shown = path[-self._seen :] if self._seen else []
        device = self._model.device
        full = torch.tensor([node.slot for node in path], device=device)
        windows = torch.tensor([node.window for node in shown], dtype=torch.long, device=device)
        first = (len(path) - len(shown)) * BLOCK
        layers = []
        for sliding, pool in zip(self._sliding, self._pool, strict=True):
            slots = windows if sliding else full
            keys, values = (_joined(one[slots]) for one in (pool.keys, pool.values))
            layers.append(Kept(keys, values, first if sliding else 0))
        cache.fill(layers, len(path) * BLOCK)
        return cache


def slots_in(most_bytes: int, model: DiffusionGemma) -> Slots:
    """How many blocks' keys and values have room in so many bytes, half of them for either kind of
    layers, as long as there are both."""
    sliding, full = (BLOCK * size for size in model.config.cache_bytes(model.dtype))
    if not full or not sliding:
        count = most_bytes // (sliding + full)
        return Slots(count, count)
    count = most_bytes // 2 // full
    return Slots(count, min(count, most_bytes // 2 // sliding))


def _joined(blocks: Tensor) -> Tensor:
    """Blocks [N, G, BLOCK, K] behind each other, [1, G, N · BLOCK, K], and room for more."""
    count, groups, _, width = blocks.shape
    room = rooms(count * BLOCK + 1)
    joined = blocks.new_empty(1, groups, room, width)
    own = joined[0, :, : count * BLOCK].unflatten(1, (count, BLOCK))  # [G, N, BLOCK, K]
    own.copy_(blocks.transpose(0, 1))
    return joined


def _common_blocks(texts: Sequence[Sequence[int]]) -> int:
    """How many whole blocks all texts begin with."""
    columns = enumerate(zip(*texts, strict=False))
    differing = (place for place, tokens in columns if len(set(tokens)) > 1)
    return next(differing, min(map(len, texts))) // BLOCK


def outside(text: Sequence[int], blocks: int) -> int:
    """The most of a text's first `blocks` blocks that end outside an image. Where a text ends in an
    image, more of it may follow."""
    while blocks and text[blocks * BLOCK - 1] < 0:
        blocks -= 1
    return blocks
