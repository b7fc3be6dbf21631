"""A real vocabulary of 131,072 tokens that comes with a package: Mistral's tekken.

The file (`mistral_common/data/tekken_240911.json`) lists byte strings in base64 by rank. Its first
`default_num_special_tokens` ids are control tokens without text, and the token of rank `r` has the
id `r` plus their number; the first 256 ranks are the 256 single bytes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..errors import EngineError
from ..vocabulary import Vocabulary

# the file names no control token: these three are in mistral_common/tokens/tokenizers/tekken.py
BEGIN, END, PAD = 1, 2, 11


@dataclass(frozen=True)
class Tekken:
    """`tokens[i]` is what token `i` decodes to, `None` for a control token; the single byte `b`
    is the token `first_byte + b`."""

    tokens: tuple[bytes | None, ...]
    first_byte: int

    def bytewise(self, text: bytes) -> list[int]:
        """One token a byte: the exact text, however a tokenizer would have cut it."""
        return [self.first_byte + byte for byte in text]

    def vocabulary(self) -> Vocabulary:
        """The same tokens as the constraint room sees them."""
        controls = {"<s>": BEGIN, "</s>": END, "<pad>": PAD}
        return Vocabulary(self.tokens, controls, (END,), PAD)


def read_tekken() -> Tekken:
    """Read the vocabulary from the installed `mistral_common`.

    Raises:
        EngineError: the package is not installed.
    """
    package = find_spec("mistral_common")
    if package is None or package.origin is None:
        raise EngineError(
            "the vocabulary of this benchmark comes with mistral-common, which is not installed:"
            " pip install 'gesso[test]'"
        )
    file = Path(package.origin).parent / "data" / "tekken_240911.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    specials = data["config"]["default_num_special_tokens"]
    spelled = data["vocab"][: data["config"]["default_vocab_size"] - specials]
    texts = (base64.b64decode(entry["token_bytes"]) for entry in spelled)
    return Tekken((*(None for _ in range(specials)), *texts), specials)
