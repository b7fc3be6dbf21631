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
