"""How a checkpoint writes what is special in its turns: tool calls, and the thinking channel.

A call in the native form of Gemma's chat templates:

    <|tool_call>call:NAME{key:<|"|>text<|"|>,flag:true,list:[1,2],nested:{a:null}}<tool_call|>

Keys are bare and sorted without regard to case, strings stand between quote tokens without
escapes, calls of one turn follow each other, and text may stand before the first. A thought stands
at the beginning of a turn: `<|channel>thought`, a new line, the thought, `<channel|>`. The tokens
are those of the checkpoint's template (`prompt.py` reads them off it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..request import ToolCall

SPELLS_CONTROL = re.compile(r"<\||<[a-z_]+\|>")
"""What text may not hold, lest it reads as a control token."""
MARKER = re.compile(r"<[^<>\s]+>")
"""A control token in a template's text."""
_SCALAR = re.compile(r"true|false|null|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_KEY = re.compile(r"([^:{}\[\],]+):")
_NAME = re.compile(r"call:([^{]+)")


@dataclass(frozen=True)
class CallForm:
    """The control tokens around a call and around a string in it."""

    opening: str = "<|tool_call>"
    closing: str = "<tool_call|>"
    quote: str = '<|"|>'

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """The tokens, sorted."""
        return tuple(sorted({self.opening, self.closing, self.quote}))

    def render(self, calls: Sequence[ToolCall]) -> str:
        """The text of some calls."""
        return "".join(
            f"{self.opening}call:{call.name}{self._rendered(call.arguments)}{self.closing}"
            for call in calls
        )

    def split(self, text: str) -> tuple[str, str]:
        """The text before a turn's first call, and the calls' text."""
        at = text.find(self.opening)
        return (text, "") if at < 0 else (text[:at], text[at:])

    def parse(self, text: str) -> tuple[ToolCall, ...]:
        """The calls of a turn's text; none when it is free text.

        Raises:
            ValueError: the text begins a call that is not well formed.
        """
        text = self.split(text)[1]
        calls: list[ToolCall] = []
        at = 0
        while text.startswith(self.opening, at):
            match = _NAME.match(text, at + len(self.opening))
            if not match:
                raise ValueError(f"no tool name at position {at + len(self.opening)}")
            arguments, at = self._parsed(text, match.end())
            if not text.startswith(self.closing, at):
                raise ValueError(f"the call is not closed at position {at}")
            at += len(self.closing)
            calls.append(ToolCall(match[1], arguments))
        if at != len(text):
            raise ValueError(f"text after the calls at position {at}")
        return tuple(calls)

    def _rendered(self, value: Any) -> str:
        if isinstance(value, str):
            return f"{self.quote}{value}{self.quote}"
        if isinstance(value, Mapping):
            members = sorted(value.items(), key=lambda member: member[0].lower())
            written = ",".join(f"{key}:{self._rendered(item)}" for key, item in members)
            return f"{{{written}}}"
        if isinstance(value, (list, tuple)):
            return "[" + ",".join(map(self._rendered, value)) + "]"
        return json.dumps(value)

    def _parsed(self, text: str, at: int) -> tuple[Any, int]:
        """A value and the position after it."""
        if text.startswith(self.quote, at):
            start = at + len(self.quote)
            end = text.find(self.quote, start)
            if end < 0:
                raise ValueError(f"a string is not closed at position {at}")
            return text[start:end], end + len(self.quote)
        opening = text[at : at + 1]
        if opening == "{":
            members: dict[str, Any] = {}
            at += 1
            while not text.startswith("}", at):
                key = _KEY.match(text, at)
                if not key:
                    raise ValueError(f"no key at position {at}")
                members[key[1]], at = self._parsed(text, key.end())
                at = _after_comma(text, at, "}")
            return members, at + 1
        if opening == "[":
            items: list[Any] = []
            at += 1
            while not text.startswith("]", at):
                item, at = self._parsed(text, at)
                items.append(item)
                at = _after_comma(text, at, "]")
            return items, at + 1
        scalar = _SCALAR.match(text, at)
        if not scalar:
            raise ValueError(f"no value at position {at}")
        return json.loads(scalar[0]), scalar.end()


def _after_comma(text: str, at: int, closing: str) -> int:
    if text.startswith(",", at):
        return at + 1
    if not text.startswith(closing, at):
        raise ValueError(f"neither comma nor {closing} at position {at}")
    return at


@dataclass(frozen=True)
class ThoughtForm:
    """What stands before and behind a thought, control tokens written out."""

    opening: str = "<|channel>thought\n"
    closing: str = "<channel|>"

    def split(self, text: str) -> tuple[str, str]:
        """A turn's thought and what follows it; a thought that is not closed is all there is."""
        if not text.startswith(self.opening):
            return "", text
        thought, _, rest = text[len(self.opening) :].partition(self.closing)
        return thought, rest


GEMMA_CALLS = CallForm()
