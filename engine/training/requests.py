"""Requests in a sentence, each with a set of tools of which one fits, two, or none.

A tool is a verb and an object ("book" + "hotel") with composed parameters; the sentence mentions
both and the values. The other tools share a verb or an object with it, so that the name has to be
read, not guessed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..request import ToolDeclaration
from .lexicon import OBJECTS, PARAMETERS, VERBS, Split
from .words import Words

_TYPES = {"count": "integer", "integer": "integer", "amount": "number", "flag": "boolean"}
_MENTIONS = (
    *("with a {name} of {value}", "with {name} {value}", "({name}: {value})", "{name} = {value}"),
    *("where the {name} is {value}", "and the {name} {value}", "using {value} as the {name}"),
    *("for the {name} {value}", "whose {name} is {value}", "{name} {value}"),
)
_OPENINGS = (
    *("{verb} the {object}", "{verb} a {object}", "Please {verb} the {object}", "{verb} {object}"),
    *(
        "Can you {verb} the {object}",
        "I want to {verb} a {object}",
        "I need you to {verb} the {object}",
    ),
    *(
        "Could you please {verb} a {object}",
        "Help me {verb} the {object}",
        "Now {verb} the {object}",
    ),
)
_SYSTEMS = (
    "",
    "",
    "",
    "You are a helpful assistant.",
    "Call the tools that fit.",
    "Answer briefly.",
)
NO_TOOL = "None of the tools fits."
"""What the model answers when it has no tool for a request."""


@dataclass(frozen=True)
class Ask:
    """A request in a sentence with its tools; `calls` are the names and arguments expected of it,
    numbers as `Decimal`, and empty when no tool fits."""

    system: str
    text: str
    tools: tuple[ToolDeclaration, ...]
    calls: tuple[tuple[str, dict[str, Any]], ...]


def ask(rng: random.Random, split: Split) -> Ask:
    """Draw one request."""
    words = Words(rng, split)
    count = rng.choices([1, 2, 0], [0.75, 0.15, 0.1])[0]
    pairs: list[tuple[str, str]] = []
    for _ in range(max(1, count)):
        pairs.append((words.pick(VERBS), words.pick(OBJECTS)))
    if len(set(pairs)) < len(pairs):
        pairs = pairs[:1]
        count = min(count, 1)
    style = rng.choice(["{verb}_{object}", "{verb}_{object}", "{object}.{verb}", "{object}_{verb}"])
    texts, calls, tools = [], [], []
    for pair in pairs:
        tool, text, arguments = _tool(words, pair, style)
        texts.append(text)
        if count:
            tools.append(tool)
            calls.append((tool.name, arguments))
    for _ in range(rng.choice([0, 0, 1, 2, 3, 5]) if count else rng.randint(1, 4)):
        verb, thing = rng.choice(pairs)
        other = rng.choice(
            [
                (words.pick(VERBS), words.pick(OBJECTS)),
                (verb, words.pick(OBJECTS)),
                (words.pick(VERBS), thing),
            ]
        )
        if other not in pairs:
            tool = _tool(words, other, style)[0]
            if tool.name not in {known.name for known in tools}:
                tools.append(tool)
    rng.shuffle(tools)
    text = rng.choice([". ", ". Then ", " and "]).join(texts)
    text += rng.choice([".", ".", "?", ""])
    return Ask(rng.choice(_SYSTEMS), text[0].upper() + text[1:], tuple(tools), tuple(calls))


def _tool(
    words: Words, pair: tuple[str, str], style: str
) -> tuple[ToolDeclaration, str, dict[str, Any]]:
    """A tool, a sentence that asks for it, and the arguments that the sentence gives."""
    rng = words.rng
    verb, thing = pair
    name = style.format(verb=verb, object=thing.replace(" ", "_"))
    properties: dict[str, Any] = {}
    required: list[str] = []
    arguments: dict[str, Any] = {}
    mentions: list[str] = []
    for kind in rng.sample(list(PARAMETERS), rng.randint(1, 4)):
        parameter = words.pick(PARAMETERS[kind])
        field = parameter.replace(" ", "_")
        if field in properties:
            continue
        schema: dict[str, Any] = {"type": _TYPES.get(kind, "string")}
        shown = {"phrase": words.phrase, "amount": lambda: words.amount(3.5)}.get(
            kind, lambda kind=kind: getattr(words, kind)()
        )()
        value: Any = Decimal(shown) if schema["type"] in ("integer", "number") else shown
        if kind == "flag":
            value = True
        if kind == "unit":
            schema["enum"] = sorted({shown, *(words.unit() for _ in range(3))})
        if rng.random() < 0.7:
            described = [
                parameter.capitalize(),
                f"The {parameter}",
                f"The {parameter} of the {thing}",
            ]
            schema["description"] = rng.choice(described)
        properties[field] = schema
        if kind == "flag" or rng.random() < 0.2:  # optional, and now and then not given
            if rng.random() < 0.6:
                continue
        else:
            required.append(field)
        arguments[field] = value
        mentions.append(_mention(rng, kind, parameter, shown))
    opening = rng.choice(_OPENINGS).format(verb=verb, object=thing)
    description = rng.choice(
        [f"{verb.capitalize()} a {thing}.", f"{verb.capitalize()} the {thing}", f"{verb} {thing}"]
    )
    parameters = {"type": "object", "properties": properties, "required": required}
    rng.shuffle(mentions)
    text = " ".join([opening, *_joined(rng, mentions)])
    return ToolDeclaration(name, description, parameters), text, arguments


def _mention(rng: random.Random, kind: str, parameter: str, shown: str) -> str:
    if kind == "flag":
        return rng.choice([f"with {parameter}", f"and {parameter}", f"({parameter})"])
    short = {
        "date": "on {value}",
        "time": "at {value}",
        "place": "in {value}",
        "person": "for {value}",
    }
    short |= {"unit": "in {value}", "currency": "in {value}", "count": "for {value} {name}"}
    if kind in short and rng.random() < 0.35:
        return short[kind].format(name=parameter, value=shown)
    quoted = f"'{shown}'" if kind == "phrase" and rng.random() < 0.3 else shown
    return rng.choice(_MENTIONS).format(name=parameter, value=quoted)


def _joined(rng: random.Random, mentions: Sequence[str]) -> list[str]:
    mark = rng.choice(["", ",", " and"]) if len(mentions) > 1 else ""
    return [
        mention + (mark if index < len(mentions) - 1 else "")
        for index, mention in enumerate(mentions)
    ]
