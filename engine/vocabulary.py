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
QUOTE_BYTE = ord('"')


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """`tokens[i]` is what token `i` decodes to, or `None` for a control token and for padding
    ids that have no text; `controls` maps a control token's text to its id; `ends` are the ids
    that end a turn; `pad` is the id that fills a canvas after its end. Two with the same content
    are equal."""

    tokens: Sequence[bytes | None]
    controls: Mapping[str, int]
    ends: tuple[int, ...]
    pad: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many symbols each token stands for [V]: its bytes, or 1 for a control token."""
        sizes = np.array([len(token or b"") for token in self.tokens], dtype=np.int64)
        sizes[list(self.controls.values())] = 1
        return sizes

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all of it."""
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
    """Byte strings that share their beginnings. Node 0 is the empty string, and the nodes of one
    length are neighbours: those of length `d` are `levels[d]` to `levels[d + 1]`.

    Node `n` is its `parent`'s string and one more `byte`. `ends` are the nodes at which a token
    ends, and `place_of[i]` is the place in `ends` of token `i`'s string, or -1.
    """

    parent: NDArray[np.int32]  # [N]; 0 for node 0
    byte: NDArray[np.uint8]  # [N]; 0 for node 0
    levels: tuple[int, ...]
    ends: Integers  # [E] ascending
    place_of: Integers  # [V]

    @classmethod
    def of(cls, tokens: Sequence[bytes | None]) -> Trie:
        """Built level by level."""
        owners = np.array([index for index, text in enumerate(tokens) if text], np.int64)
        texts = [tokens[index] or b"" for index in owners.tolist()]
        lengths = np.array([len(text) for text in texts], np.int64)
        starts = np.cumsum(lengths) - lengths
        joined = np.frombuffer(b"".join(texts), np.uint8)
        node_of = np.zeros(len(texts), np.int64)
        parents, letters, levels = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], [0, 1]
        while len(going := np.flatnonzero(lengths >= len(levels) - 1)):
            added = joined[starts[going] + len(levels) - 2].astype(np.int64)
            found, numbers = np.unique(node_of[going] * 256 + added, return_inverse=True)
            node_of[going] = levels[-1] + numbers
            parents.append(found // 256)
            letters.append(found % 256)
            levels.append(levels[-1] + len(found))
        ends = np.unique(node_of)
        place_of = np.full(len(tokens), -1, np.int64)
        place_of[owners] = np.searchsorted(ends, node_of)
        return cls(
            np.concatenate(parents).astype(np.int32),
            np.concatenate(letters).astype(np.uint8),
            tuple(levels),
            ends,
            place_of,
        )

    @cached_property
    def behind_quotes(self) -> Integers:
        """The nodes whose last byte is a quote."""
        return np.flatnonzero(self.byte == QUOTE_BYTE)
