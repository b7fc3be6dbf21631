"""Measure a checkpoint: `python -m gesso.engine.training.evaluate [--model runs/sketch]`.

Held-out synthetic documents, once under the constraint and once free, side by side; and, where
the folder is there, real scanned receipts that no training run has seen. A figure counts a field
as exact when its value is the expected one to the letter; receipts are compared after trimming,
folding case and joining white space.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..constraint import tools
from ..engine import Engine, load_engine
from ..request import Message, Request, ToolCall, ToolDeclaration
from .documents import example
from .tasks import declaration_of

RECEIPTS = Path("../shared/data/receipts")
_RECEIPT = ToolDeclaration(
    "save_record",
    "Save the receipt",
    {
        "type": "object",
        "properties": {
            "company": {"type": "string", "description": "Name of the shop"},
            "date": {"type": "string", "description": "Date of the document"},
            "address": {"type": "string", "description": "Address of the shop"},
            "total": {"type": "string", "description": "Amount paid"},
        },
        "required": ["company", "date", "address", "total"],
    },
)


@dataclass
class Score:
    """What a run of documents gave."""

    valid: int = 0
    records: int = 0
    exact_records: int = 0
    exact: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    expected: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def fields(self) -> float:
        """Share of all fields that are exact."""
        return sum(self.exact.values()) / max(1, sum(self.expected.values()))


def ask(
    engine: Engine, tool: ToolDeclaration, instruction: str, document: str, *, constrained: bool
) -> tuple[Mapping[str, Any] | None, int, float]:
    """The arguments of the call that the model makes of a document, or `None` when what it wrote
    is not a valid call; with denoising steps and seconds."""
    messages = [Message("system", instruction), Message("user", document)]
    request = Request(messages, [tool], tool_choice=tool.name, seed=1, max_tokens=480)
    began = time.perf_counter()
    result = engine.generate(request, constrained=constrained)
    seconds = time.perf_counter() - began
    calls: Sequence[ToolCall] = result.tool_calls
    if not constrained:
        language = tools([tool], choice=tool.name)
        calls = language.parse(result.text) if language.accepts(result.text) else ()
    arguments = calls[0].arguments if calls else None
    return arguments, result.usage.denoising_steps, seconds


def measure(
    engine: Engine,
    cases: Sequence[tuple[ToolDeclaration, str, str, Mapping[str, Any]]],
    same: Callable[[Any, Any], bool],
    *,
    constrained: bool,
) -> Score:
    """Ask for every case (tool, instruction, document, expected values) and count."""
    score = Score()
    for tool, instruction, document, expected in cases:
        found, steps, seconds = ask(engine, tool, instruction, document, constrained=constrained)
        score.records += 1
        score.steps.append(steps)
        score.seconds.append(seconds)
        score.valid += found is not None
        right = {name for name, value in expected.items() if found and same(found.get(name), value)}
        for name in expected:
            score.expected[name] += 1
            score.exact[name] += name in right
        score.exact_records += len(right) == len(expected)
    return score


def heldout_cases(count: int) -> list[tuple[ToolDeclaration, str, str, Mapping[str, Any]]]:
    """Synthetic documents from templates and vocabularies that training never draws."""
    rng = random.Random("evaluate")
    drawn = [example(rng, "heldout") for _ in range(count)]
    return [(declaration_of(one), one.instruction, one.document, one.values) for one in drawn]


def receipt_cases(
    folder: Path, count: int
) -> list[tuple[ToolDeclaration, str, str, Mapping[str, Any]]]:
    """Real receipts with their four fields."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    instruction = "Save the receipt with save_record."
    return [
        (_RECEIPT, instruction, (folder / f"{name}.txt").read_text(encoding="utf-8"), fields)
        for name, fields in sorted(truth.items())[:count]
    ]


def folded(found: Any, expected: Any) -> bool:
    """Equal after trimming, folding case and joining white space."""
    return " ".join(str(found).casefold().split()) == " ".join(str(expected).casefold().split())


def table(title: str, rows: Mapping[str, Score]) -> str:
    """A Markdown table, one row a way of generating."""
    head = "| | valid | fields exact | records exact | steps (mean) | seconds (median) |"
    lines = [f"**{title}**", "", head, "|---|---|---|---|---|---|"]
    for name, score in rows.items():
        lines.append(
            f"| {name} | {score.valid / score.records:.1%} | {score.fields:.1%}"
            f" | {score.exact_records / score.records:.1%}"
            f" | {statistics.mean(score.steps):.1f} | {statistics.median(score.seconds):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="Measure a checkpoint.")
    parser.add_argument("--model", default="sketch")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--receipts", type=int, default=1000)
    options = parser.parse_args()
    engine = load_engine(options.model)
    ways = {"constrained": True, "free": False}

    cases = heldout_cases(options.documents)
    scores = {
        name: measure(engine, cases, lambda a, b: a == b, constrained=constrained)
        for name, constrained in ways.items()
    }
    print(table(f"{len(cases)} held-out synthetic documents", scores))

    if not RECEIPTS.is_dir():
        print(f"\n{RECEIPTS} is not there: the real receipts are left out.")
        return
    cases = receipt_cases(RECEIPTS, options.receipts)
    fitting = [case for case in cases if _fits(engine, case[2])]
    scores = {
        name: measure(engine, fitting, folded, constrained=constrained)
        for name, constrained in ways.items()
    }
    print(
        "\n" + table(f"{len(fitting)} of {len(cases)} real receipts that fit the context", scores)
    )
    print("\n| | " + " | ".join(_RECEIPT.parameters["properties"]) + " |")
    print("|---" * (1 + len(_RECEIPT.parameters["properties"])) + "|")
    for name, score in scores.items():
        shares = (
            f"{score.exact[key] / score.expected[key]:.1%}"
            for key in _RECEIPT.parameters["properties"]
        )
        print(f"| {name} | " + " | ".join(shares) + " |")


def _fits(engine: Engine, document: str) -> bool:
    return len(engine.tokenizer.encode(document)) + 800 < engine.context_length


if __name__ == "__main__":
    main()
