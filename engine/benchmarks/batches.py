"""Documents a second: one at a time, in batches, and in a plain loop over `transformers`.

Every way reads the same receipts, drawn from what training never sees, with the same checkpoint
and the same prompts; in one process, in turns, a round of documents at a time. Ours are held to one
schema, verify every draft and keep the prompts' common beginning; `transformers`' `generate` knows
no constraint and writes freely, up to the same number of tokens.

    python -m gesso.engine.benchmarks.batches --documents 96 --threads 2
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ..constraint import json_schema
from ..engine import Engine, load_engine
from ..request import Message, Request, Result
from ..training.documents import example
from ..training.evaluate import table
from .reference import Reference

SIZES = (1, 4, 8, 16)
ROUND = 16  # documents
MOST_TOKENS = 192
SCHEMA = {
    "type": "object",
    "properties": {
        "company": {"type": "string", "description": "Name of the shop"},
        "date": {"type": "string", "description": "Date of the document"},
        "total": {"type": "string", "description": "Amount paid"},
    },
    "required": ["company", "date", "total"],
}


@dataclass
class Tally:
    """What one way has written so far, and how long that took."""

    seconds: float = 0.0
    texts: list[str] = field(default_factory=list)
    valid: int = 0
    steps: int = 0
    canvases: int = 0

    def take(self, text: str, steps: int, canvases: int) -> None:
        """Count an answer."""
        self.texts.append(text)
        self.valid += json_schema(SCHEMA).accepts(text)
        self.steps += steps
        self.canvases += canvases


Way = Callable[[Sequence[Request], Tally], None]


def receipts(count: int) -> list[Request]:
    """Requests for the records of held-out receipts."""
    rng = random.Random("batches")
    system = Message("system", "Read the receipt and write its record.")
    return [
        Request(
            (system, Message("user", example(rng, "heldout", "receipt").document)),
            constraint=json_schema(SCHEMA),
            seed=number,
            max_tokens=MOST_TOKENS,
        )
        for number in range(count)
    ]


def batched(engine: Engine, size: int) -> Way:
    """So many documents at a time."""

    def write(requests: Sequence[Request], tally: Tally) -> None:
        for first in range(0, len(requests), size):
            for found in engine.generate_batch(requests[first : first + size]):
                if isinstance(found, Result):
                    tally.take(found.text, found.usage.denoising_steps, found.usage.canvases)

    return write


def reference(engine: Engine) -> Way:
    """`transformers`, one document after another."""
    transformers = Reference(engine)

    def write(requests: Sequence[Request], tally: Tally) -> None:
        for request in requests:
            found = transformers.write(request, MOST_TOKENS)
            tally.take(found.text, found.steps, found.canvases)

    return write


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="Documents a second, alone and in batches.")
    parser.add_argument("--documents", type=int, default=96)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = load_engine("sketch")
    ways: dict[str, Way] = {
        "one at a time" if size == 1 else f"batches of {size}": batched(engine, size)
        for size in SIZES
    }
    ways["`transformers`, free, one at a time"] = reference(engine)
    tallies = {name: Tally() for name in ways}
    for write in ways.values():
        write(receipts(2), Tally())  # a first time that does not count
    requests = receipts(options.documents)
    for first in range(0, len(requests), ROUND):
        for name, write in ways.items():
            began = time.perf_counter()
            write(requests[first : first + ROUND], tallies[name])
            tallies[name].seconds += time.perf_counter() - began
    alone, *_ = tallies.values()
    rows = [
        [
            name,
            f"{len(requests) / tally.seconds:.2f}",
            f"{alone.seconds / tally.seconds:.2f}",
            f"{tally.steps / tally.canvases:.1f}",
            f"{tally.valid / len(requests):.1%}",
            "yes" if tally.texts == alone.texts else "no",
        ]
        for name, tally in tallies.items()
    ]
    head = [
        f"{len(requests)} receipts, {options.threads} threads",
        "documents/s",
        "times the first",
    ]
    print(table([*head, "steps per canvas", "valid", "same output as the first"], rows))


if __name__ == "__main__":
    main()
