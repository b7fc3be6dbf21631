"""Blanks secrets in whatever is on its way to a prompt, a log or the store.

A secret is found as it is, and as usual encoders write it: percent, JSON, Python, HTML and hex
escapes (character by character, mixed as they like), base64 at any of its three alignments and
wrapped in lines, hexadecimal in either case. It is not found reversed, compressed, encrypted or
encoded twice: this is for accidents and simple tricks. What must not read a secret at all must not
be given it.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

LINE_LENGTH = 16
"""Characters from which on one line of a secret of many lines (a key) is a secret too."""

FOLD = r"[\r\n]*"
"""Between the characters of a secret: a line may have been broken there."""

BASE64_FOLD = r"(?:\s|\\[rn]|%0[aAdD])*"
HEX_FOLD = r"[\s:]*"


class Redactor:
    """Knows the secrets' values by their names; the names are what is shown instead."""

    def __init__(self, values: Mapping[str, str]) -> None:
        texts = [(name, value) for name, value in values.items()]
        texts += [
            (name, line.strip())
            for name, value in values.items()
            for line in value.splitlines()
            if LINE_LENGTH <= len(line.strip()) < len(value)
        ]
        # the longest first: one secret may be a part of another
        texts.sort(key=lambda text: -len(text[1]))
        self._patterns = [(re.compile(_pattern(text)), f"[secret {name}]") for name, text in texts]

    def blank(self, value: Any) -> Any:
        """The same text, or JSON value, without the secrets."""
        if isinstance(value, str):
            for pattern, shown in self._patterns:
                value = pattern.sub(lambda _, shown=shown: shown, value)
            return value
        if isinstance(value, dict):
            return {self.blank(key): self.blank(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.blank(item) for item in value]
        return value

    def filter(self, record: logging.LogRecord) -> bool:
        """Blanks a log's record: `handler.addFilter(redactor)`."""
        record.msg, record.args = self.blank(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self.blank(logging.Formatter().formatException(record.exc_info))
        if record.stack_info:
            record.stack_info = self.blank(record.stack_info)
        return True


def _pattern(text: str) -> str:
    content = text.encode()
    forms = [FOLD.join(_character(character) for character in text)]
    forms += [_base64(content, offset) for offset in range(3)]
    forms.append(HEX_FOLD.join(f"(?i:{byte:02x})" for byte in content))
    return "|".join(forms)


def _character(character: str) -> str:
    """One character in any of its spellings."""
    octets = character.encode()
    units = character.encode("utf-16-be")
    code = ord(character)
    spellings = [
        re.escape(character),
        "".join(f"%(?:25){{0,2}}(?i:{octet:02x})" for octet in octets),
        "".join(rf"\\{{1,4}}x(?i:{octet:02x})" for octet in octets),
        rf"\\{{1,4}}(?:x|u00)(?i:{code:02x})" if code < 256 else rf"\\{{1,4}}U(?i:{code:08x})",
        "".join(rf"\\{{1,4}}u(?i:{units[n : n + 2].hex()})" for n in range(0, len(units), 2)),
        f"&#(?:0*{code}|[xX]0*(?i:{code:x}));",
    ]
    escaped = json.dumps(character)[1:-1]
    if escaped[0] == "\\" and escaped[1] != "u":
        spellings.append(r"\\{1,4}" + re.escape(escaped[1:]))
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", " ": r"\+"}
    if character in named:
        spellings.append(named[character])
    return f"(?:{'|'.join(spellings)})"


def _base64(content: bytes, offset: int) -> str:
    """The secret in base64, `offset` bytes into a group of three.

    Those characters count that the secret alone decides; one on either side holds some of its bits.
    """
    encoded = base64.b64encode(bytes(offset) + content).decode()
    first = -(-offset * 8 // 6)
    last, rest = divmod((offset + len(content)) * 8, 6)
    spellings = {"+": "(?:[+-]|%2[bB])", "/": "(?:[/_]|%2[fF])"}
    sure = BASE64_FOLD.join(spellings.get(sign, sign) for sign in encoded[first:last])
    before = "[A-Za-z0-9+/_-]?" if offset else ""
    return before + sure + (f"(?:{BASE64_FOLD}[A-Za-z0-9+/_-]=*)?" if rest else "")
