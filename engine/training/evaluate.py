"""Measure a checkpoint: `python -m gesso.engine.training.evaluate [--model runs/sketch]`.

Held-out synthetic documents and, where the folder is there, real scanned receipts that no training
run has seen: under the constraint and free, with the encoder verifying the drafts and without, side
by side. With `--write` the tables go into the checkpoint's model card. A figure counts a field
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

from ..checkpoint import locate
from ..config import EntropyBound, GenerationConfig
from ..constraint import tools
from ..engine import Engine, load_engine
from ..request import Message, Request, ToolCall, ToolDeclaration
from .documents import example
from .tasks import declaration_of

RECEIPTS = Path("../shared/data/receipts")
Case = tuple[ToolDeclaration, str, str, Mapping[str, Any]]
"""Tool, instruction, document, expected values."""

PATIENT = GenerationConfig(
    max_denoising_steps=48,
    sampler_config=EntropyBound(entropy_bound=0.02),
    t_min=0.6,
    t_max=0.9,
    confidence_threshold=0.005,
)
"""For drafts that nobody verifies: the slower schedule."""
_BEGIN, _END = "<!-- make eval: begin -->", "<!-- make eval: end -->"
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
    cases: Sequence[Case],
    same: Callable[[Any, Any], bool],
    *,
    constrained: bool,
) -> Score:
    """Ask for every case and count."""
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


def heldout_cases(count: int) -> list[Case]:
    """Synthetic documents from templates and vocabularies that training never draws."""
    rng = random.Random("evaluate")
    drawn = [example(rng, "heldout") for _ in range(count)]
    return [(declaration_of(one), one.instruction, one.document, one.values) for one in drawn]


def receipt_cases(folder: Path, count: int) -> list[Case]:
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
    parser.add_argument("--write", action="store_true", help="write the model card's tables")
    options = parser.parse_args()
    engine = load_engine(options.model)
    report = [_documents_report(engine, options.documents)]
    if RECEIPTS.is_dir():
        report.append(_receipts_report(engine, options.receipts))
    else:
        print(f"{RECEIPTS} is not there: the real receipts are left out.")
    text = "\n\n".join(report)
    print(text)
    if options.write:
        card = locate(options.model) / "README.md"
        before, _, rest = card.read_text(encoding="utf-8").partition(_BEGIN)
        after = rest.partition(_END)[2]
        card.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}", encoding="utf-8")


def _documents_report(engine: Engine, count: int) -> str:
    scores = _every_way(engine, heldout_cases(count), lambda found, expected: found == expected)
    return table(f"{count} held-out synthetic documents", scores)


def _receipts_report(engine: Engine, count: int) -> str:
    cases = receipt_cases(RECEIPTS, count)
    scores = _every_way(engine, cases, folded)
    names = list(_RECEIPT.parameters["properties"])
    lines = [table(f"{len(cases)} real receipts", scores), ""]
    lines += ["| exact | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for way, score in scores.items():
        shares = (f"{score.exact[name] / score.expected[name]:.1%}" for name in names)
        lines.append(f"| {way} | " + " | ".join(shares) + " |")
    return "\n".join(lines)


def _every_way(
    engine: Engine, cases: Sequence[Case], same: Callable[[Any, Any], bool]
) -> dict[str, Score]:
    """Constrained and free, with verified drafts and without.

    A draft that nobody verifies has to be waited for: those runs take the slower schedule.
    """
    scores, config, generation = {}, engine.config, engine.generation
    for verified in (True, False):
        engine.config = config.model_copy(update={"verify_drafts": verified})
        engine.generation = generation if verified else PATIENT
        for constrained in (True, False):
            name = "constrained" if constrained else "free"
            name += ", verified" if verified else ""
            scores[name] = measure(engine, cases, same, constrained=constrained)
    engine.config, engine.generation = config, generation
    return scores


if __name__ == "__main__":
    main()
