"""Valid tool calls a second: held to the tools, freely and again until valid, and `transformers`.

    python -m gesso.engine.benchmarks.valid_calls --turns 12

The same prompts, seeds and weights (the bundled model) for every way; five sets of tools. A way
that writes freely tries a turn again with the next seed until what it wrote is one or more valid
calls, five times at most, as one does with an engine that knows no constraint. In one process, in
turns. Prints Markdown.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..constraint import ToolConstraint, tools
from ..engine import load_engine
from ..request import Message, Request, ToolDeclaration
from ..training.documents import example
from ..training.evaluate import table
from .reference import Reference

TRIES = 5
MOST_TOKENS = 192
TEXT, NUMBER = {"type": "string"}, {"type": "number"}
DATE = {"type": "string", "format": "date"}


def _tool(name: str, **properties: Mapping[str, Any]) -> ToolDeclaration:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolDeclaration(name, f"{name.replace('_', ' ').capitalize()}.", schema)


RECEIPT = _tool("save_receipt", company=TEXT, date=TEXT, total=TEXT)
TYPED = _tool(
    "book_payment",
    payee=TEXT,
    due=DATE,
    amount={"type": "number", "minimum": 0},
    currency={"enum": ["EUR", "USD", "GBP", "CHF"]},
    paid={"type": "boolean"},
)
NESTED = _tool(
    "save_invoice",
    customer={
        "type": "object",
        "properties": {"name": TEXT, "city": TEXT},
        "required": ["name", "city"],
    },
    items={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"what": TEXT, "price": NUMBER},
            "required": ["what", "price"],
        },
        "maxItems": 3,
    },
)
FEW = [RECEIPT, TYPED, _tool("ask_person", question=TEXT), _tool("list_files", folder=TEXT)]
MANY = [
    *FEW,
    NESTED,
    *(_tool(f"look_up_{n}", key=TEXT, most={"type": "integer"}) for n in range(15)),
]
SETS: Mapping[str, Sequence[ToolDeclaration]] = {
    "one tool, three strings": [RECEIPT],
    "one tool, typed": [TYPED],
    "one tool, nested": [NESTED],
    "four tools": FEW,
    "twenty tools": MANY,
}


@dataclass
class Tally:
    """What one way has done with one set of tools."""

    seconds: float = 0.0
    turns: int = 0
    valid: int = 0
    tries: int = 0

    @property
    def rate(self) -> float:
        return self.valid / self.seconds


Way = Callable[[Request], str]
"""Writes a turn: its text as it stands on the canvas."""


def _requests(declared: Sequence[ToolDeclaration], count: int) -> list[Request]:
    rng = random.Random("valid calls")
    system = Message("system", "Read the document and call the right tool.")
    return [
        Request(
            (system, Message("user", example(rng, "heldout").document)),
            tools=declared,
            tool_choice="required",
            seed=TRIES * number,
            max_tokens=MOST_TOKENS,
        )
        for number in range(count)
    ]


def _tried(way: Way, request: Request, language: ToolConstraint, tally: Tally, most: int) -> None:
    tally.turns += 1
    for again in range(most):
        began = time.perf_counter()
        text = way(replace(request, seed=(request.seed or 0) + again))
        tally.seconds += time.perf_counter() - began
        tally.tries += 1
        if language.accepts(text):
            tally.valid += 1
            return


def main() -> None:
    parser = argparse.ArgumentParser(description="Valid tool calls a second.")
    parser.add_argument("--turns", type=int, default=12, help="of each set of tools")
    options = parser.parse_args()
    torch.set_num_threads(1)
    engine = load_engine("sketch")
    form = engine.template.calls

    def held(request: Request) -> str:
        return form.render(engine.generate(request).tool_calls)

    transformers = Reference(engine)

    def free(request: Request) -> str:
        return engine.generate(request, constrained=False).text

    def theirs(request: Request) -> str:
        return transformers.write(request, MOST_TOKENS).text

    ways: Mapping[str, tuple[Way, int]] = {
        "held to the tools": (held, 1),
        "free, again until valid": (free, TRIES),
        "`transformers`, again until valid": (theirs, TRIES),
    }
    print(f"{options.turns} turns of each set, `sketch`, one thread\n")
    rows = []
    for name, declared in SETS.items():
        requests = _requests(declared, options.turns)
        language = tools(declared, choice="required", form=form)
        tallies = {way: Tally() for way in ways}
        for number, request in enumerate([requests[0], *requests]):
            for way, (write, most) in ways.items():
                # the first does not count: it compiles and warms up
                tally = tallies[way] if number else Tally()
                _tried(write, request, language, tally, most if number else 1)
        for way, tally in tallies.items():
            rows.append(
                [
                    name,
                    way,
                    f"{tally.valid / tally.turns:.0%}",
                    f"{tally.tries / tally.turns:.1f}",
                    f"{tally.rate:.2f}",
                ]
            )
    print(table(["tools", "way", "turns with a valid call", "tries", "valid calls/s"], rows))


if __name__ == "__main__":
    main()
