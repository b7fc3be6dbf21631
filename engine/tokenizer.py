"""Text to token ids and back, for tokenizers of Gemma's kind.

Gemma's `tokenizer.json` is a BPE over characters in which a space is written `▁` and whatever the
vocabulary lacks falls back to single bytes, `<0x00>` to `<0xFF>`. Decoding goes through the bytes
of each token and never drops a control token: the markers of a tool call are part of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer as FastTokenizer

from .errors import CheckpointError
from .vocabulary import Vocabulary

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "▁"


class Tokenizer:
    """A checkpoint's `tokenizer.json`."""

    def __init__(self, file: Path, *, vocab_size: int, ends: tuple[int, ...], pad: int) -> None:
        """
        Raises:
            CheckpointError: the file is missing, damaged, or of another kind of tokenizer.
        """
        try:
            text = file.read_text(encoding="utf-8")
            self._fast = FastTokenizer.from_str(text)
            self._data = json.loads(text)
        except FileNotFoundError:
            raise CheckpointError(
                f"{file.parent}: there is no {file.name} in this folder"
            ) from None
        except Exception as error:  # `tokenizers` raises bare Exception
            raise CheckpointError(f"{file}: not a tokenizer file ({error})") from None
        if not self._data["model"].get("byte_fallback"):
            raise CheckpointError(
                f"{file}: only tokenizers with byte fallback, as Gemma's, can be read"
            )
        self._vocab_size, self._ends, self._pad = vocab_size, ends, pad
        self._settings = file.with_name("tokenizer_config.json")
        if self._fast.get_vocab_size() > vocab_size:
            raise CheckpointError(
                f"{file}: {self._fast.get_vocab_size()} tokens, config.json says {vocab_size}"
            )

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered prompt; control tokens in the text become their ids."""
        return self._fast.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token ids, control tokens written out, broken UTF-8 replaced."""
        spelled = self._spellings
        return b"".join(spelled[token] for token in tokens).decode("utf-8", errors="replace")

    @property
    def bos_token(self) -> str:
        """The text of the token that begins a conversation, as `tokenizer_config.json` names it."""
        try:
            named = json.loads(self._settings.read_text(encoding="utf-8")).get("bos_token", "")
        except FileNotFoundError:
            named = "<bos>"
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{self._settings}: not valid JSON ({error})") from None
        return named["content"] if isinstance(named, dict) else named or ""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each token stands for, as a constraint needs it."""
        tokens: list[bytes | None] = [None] * self._vocab_size
        for text, index in self._data["model"]["vocab"].items():
            byte = _BYTE.fullmatch(text)
            tokens[index] = (
                bytes([int(byte[1], 16)]) if byte else text.replace(_SPACE, " ").encode()
            )
        controls: dict[str, int] = {}
        for added in self._data["added_tokens"]:
            if added["special"]:
                controls[added["content"]] = added["id"]
                tokens[added["id"]] = None
            else:
                tokens[added["id"]] = added["content"].encode()
        return Vocabulary(tokens=tokens, controls=controls, ends=self._ends, pad=self._pad)

    @cached_property
    def _spellings(self) -> list[bytes]:
        spelled = [token or b"" for token in self.vocabulary.tokens]
        for text, index in self.vocabulary.controls.items():
            spelled[index] = text.encode()
        return spelled
