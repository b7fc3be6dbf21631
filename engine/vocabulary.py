"""The tokens of a checkpoint as the constraint sees them: the bytes each one stands for.

Control tokens (`<|tool_call>`, `<turn|>`, …) stand for no bytes; they are atomic symbols with
a name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """`tokens[i]` is what token `i` decodes to, or `None` for a control token and for padding
    ids that have no text; `controls` maps a control token's text to its id; `ends` are the ids
    that end a turn; `pad` is the id that fills a canvas after its end."""

    tokens: Sequence[bytes | None]
    controls: Mapping[str, int]
    ends: tuple[int, ...]
    pad: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many symbols each token stands for [V]: its bytes, or 1 for a control token."""
        sizes = np.array([len(token or b"") for token in self.tokens], dtype=np.int64)
        sizes[list(self.controls.values())] = 1
        return sizes

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all of it, for caches of compiled automata."""
        digest = hashlib.sha256()
        for token in self.tokens:
            digest.update(b"\x00" if token is None else b"\x01" + len(token).to_bytes(4) + token)
        digest.update(repr((sorted(self.controls.items()), self.ends, self.pad)).encode())
        return digest.hexdigest()

    @cached_property
    def trie(self) -> Trie:
        """The tokens' bytes as a trie, made on first use."""
        return Trie.of(self.tokens)


@dataclass(frozen=True, eq=False)
class Trie:
    """Byte strings that share their beginnings. Node 0 is the empty string.

    The children of node `n` are the nodes `first_child[n]` to `first_child[n + 1]`, each reached by
    its `byte`. `token_node[i]` is the node that spells token `i`, or -1.
    """

    first_child: Integers  # [N + 1]
    byte: NDArray[np.uint8]  # [N], of the edge that leads to a node
    ends: NDArray[np.bool_]  # [N], whether some token ends here
    token_node: Integers  # [V]

    @classmethod
    def of(cls, tokens: Sequence[bytes | None]) -> Trie:
        """Built level by level, so that children of a node are neighbours."""
        owners = np.array([index for index, text in enumerate(tokens) if text], np.int64)
        texts = [tokens[index] or b"" for index in owners.tolist()]
        lengths = np.array([len(text) for text in texts], np.int64)
        starts = np.cumsum(lengths) - lengths
        joined = np.frombuffer(b"".join(texts), np.uint8)
        token_node = np.full(len(tokens), -1, np.int64)
        node_of = np.zeros(len(texts), np.int64)
        first_child, bytes_, count, depth = [np.zeros(0, np.int64)], [np.zeros(1, np.uint8)], 1, 0
        level_first, level_size = 0, 1
        while True:
            going = np.flatnonzero(lengths > depth)
            letters = joined[starts[going] + depth].astype(np.int64)
            edges = node_of[going] * 256 + letters
            found, numbers = np.unique(edges, return_inverse=True)
            parents = np.arange(level_first, level_first + level_size)
            first_child.append(count + np.searchsorted(found // 256, parents))
            if not len(going):
                break
            node_of[going] = count + numbers
            bytes_.append((found % 256).astype(np.uint8))
            level_first, level_size, count = count, len(found), count + len(found)
            depth += 1
        token_node[owners] = node_of
        ends = np.zeros(count, bool)
        ends[node_of] = True
        return cls(
            np.append(np.concatenate(first_child), count),
            np.concatenate(bytes_),
            ends,
            token_node,
        )

    def children(self, nodes: Integers) -> tuple[Integers, Integers, Integers]:
        """The children of some nodes [K]: for each, the index of its parent in `nodes`, the child,
        and its byte."""
        firsts = self.first_child[nodes]
        counts = self.first_child[nodes + 1] - firsts
        owner = np.repeat(np.arange(len(nodes)), counts)
        offsets = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        child = firsts[owner] + offsets
        return owner, child, self.byte[child].astype(np.int64)
