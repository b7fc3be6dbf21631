"""An agent's ten turns in one growing conversation: how long each one's prompt is read for.

The first turn reads the instructions whole. What it read is kept, and so a later one reads only
what was said since, and what of the last kept block it has to read again: the tenth should take
less than 15 % of the first. The answers are one of two words, for only the prompt is timed.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ..constraint import choice
from ..engine import Engine
from ..request import Message, Request, Usage

TURNS = 10
INSTRUCTIONS = 1536  # tokens, about: an agent's file, its memory and its tools
ADDED = 64  # tokens that a turn adds, about: a question, or what a tool returned
_CANVAS = 16  # room for a word
_RULE = "Read the receipt and say whether its total is right. "
_SAID = "TOTAL 4.50 CASH 5.00 CHANGE 0.50 "


@dataclass(frozen=True)
class Conversation:
    """Each turn's tokens and those of them that were kept, and the median seconds of reading."""

    prompt_tokens: Sequence[int]
    cached_tokens: Sequence[int]
    prefill_seconds: Sequence[float]

    @property
    def last_by_first(self) -> float:
        """Seconds of the last turn's prompt by those of the first."""
        return self.prefill_seconds[-1] / self.prefill_seconds[0]


def converse(engine: Engine, rounds: int) -> Conversation:
    """The same conversation as often as there are rounds, each from its beginning, after one that
    does not count."""
    config = engine.config.model_copy(update={"canvas_length": _CANVAS})
    short = Engine(
        engine.name, engine.model, config, engine.generation, engine.tokenizer, engine.template
    )
    held = [_turns(short, number) for number in range(rounds + 1)]
    usages = held[-1]
    return Conversation(
        [usage.prompt_tokens for usage in usages],
        [usage.cached_tokens for usage in usages],
        [
            statistics.median(usage.prefill_seconds for usage in turn)
            for turn in zip(*held[1:], strict=True)
        ],
    )


def _turns(engine: Engine, number: int) -> list[Usage]:
    """The turns of a conversation that begins as none with another number does."""
    answers = choice(["right", "wrong"])
    rules = _filled(engine, f"{number}. ", _RULE, INSTRUCTIONS)
    said = _filled(engine, "", _SAID, ADDED)
    messages, usages = [Message("system", rules)], []
    for turn in range(TURNS):
        messages.append(Message("user", f"{turn}. {said}"))
        found = engine.generate(Request(messages, constraint=answers, seed=turn))
        usages.append(found.usage)
        messages.append(Message("assistant", found.text))
    return usages


def _filled(engine: Engine, text: str, part: str, tokens: int) -> str:
    """A text with as many parts behind it as make so many tokens, or a few more."""
    size = len(engine.tokenizer.encode(part))
    return text + part * -(-tokens // size)
