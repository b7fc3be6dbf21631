"""Text to token ids and back, for tokenizers whose tokens stand for bytes.

Gemma's `tokenizer.json` is a BPE over characters in which a space is written `▁` and whatever the
vocabulary lacks falls back to single bytes, `<0x00>` to `<0xFF>`. LLaDA's is a BPE over bytes, each
written as a printable character (GPT-2's `bytes_to_unicode`). Decoding goes through the bytes of
each token and never drops a control token: the markers of a tool call are part of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from .errors import CheckpointError
from .vocabulary import Vocabulary

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "▁"


class Tokenizer:
    """A checkpoint's `tokenizer.json`."""

    def __init__(
        self,
        file: Path,
        *,
        vocab_size: int,
        ends: tuple[int, ...],
        pad: int,
        closing: str = "",
    ) -> None:
        """`closing` names a control token that ends a turn before all others, if there is one.

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
        self._over_bytes = _names(self._data.get("decoder"), "ByteLevel")
        if not self._over_bytes and not self._data["model"].get("byte_fallback"):
            raise CheckpointError(
                f"{file}: only tokenizers over bytes, as LLaDA's, or with byte fallback, as"
                " Gemma's, can be read"
            )
        added = {one["content"]: one["id"] for one in self._data["added_tokens"]}
        first = (added[closing],) if closing in added else ()
        self._ends = tuple(dict.fromkeys(first + ends))
        self._vocab_size, self._pad = vocab_size, pad
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
        spell = _spelled_in_bytes if self._over_bytes else _spelled
        for text, index in self._data["model"]["vocab"].items():
            tokens[index] = spell(text)
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


def _names(decoder: Any, kind: str) -> bool:
    """Whether a decoder of `tokenizer.json` is of a kind, or one of a sequence is."""
    if not isinstance(decoder, Mapping):
        return False
    return decoder.get("type") == kind or any(
        _names(part, kind) for part in decoder.get("decoders", ())
    )


def _spelled(text: str) -> bytes:
    """What a token stands for where bytes are a fallback."""
    byte = _BYTE.fullmatch(text)
    return bytes([int(byte[1], 16)]) if byte else text.replace(_SPACE, " ").encode()


def _spelled_in_bytes(text: str) -> bytes:
    """What a token stands for where each character is a byte; a text that is not written so is
    itself."""
    written = _written_bytes()
    known = all(character in written for character in text)
    return bytes(map(written.__getitem__, text)) if known else text.encode()


@cache
def _written_bytes() -> Mapping[str, int]:
    """The byte of each character that a byte is written as: Latin-1's visible ones as themselves,
    the other 68 as the characters from 256 on, in their order (`bytes_to_unicode` of GPT-2)."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {
        chr(256 + number): byte for number, byte in enumerate(hidden)
    }
