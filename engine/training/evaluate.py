"""Measure a checkpoint: `python -m gesso.engine.training.evaluate [--model runs/sketch]`.

Held-out synthetic turns (fields, whole records, the right tool, null where a document lacks what is
asked), real scanned receipts that no training run has seen, beside a reader by rules, and questions
of the Berkeley Function-Calling Leaderboard, where those folders are there. With `--write` the
tables go into the checkpoint's model card. A field is exact when its value is the expected one to
the letter; receipts are compared after trimming, folding case and joining white space.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..checkpoint import locate
from ..config import EntropyBound, GenerationConfig
from ..constraint import json_schema, tools
from ..engine import Engine, load_engine
from ..errors import ConstraintError
from ..request import Message, Request, ToolCall, ToolDeclaration
from .baseline import read_receipt
from .bfcl import is_right, questions
from .tasks import Kind, Turn, turn

DATA = Path("../shared/data")
PATIENT = GenerationConfig(
    max_denoising_steps=48,
    sampler_config=EntropyBound(entropy_bound=0.02),
    t_min=0.6,
    t_max=0.9,
    confidence_threshold=0.005,
)
"""For drafts that nobody verifies: the slower schedule."""
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
_ABSENT = object()


@dataclass
class Score:
    """What some turns gave."""

    turns: int = 0
    valid: int = 0
    right_tool: int = 0
    records: int = 0
    exact_records: int = 0
    exact: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def fields(self) -> float:
        """Share of all fields that are exact."""
        return self.share("field")

    def share(self, kind: str) -> float:
        """Share of the fields of a kind that are exact."""
        return self.exact[kind] / max(1, self.expected[kind])

    def compare(
        self, found: Mapping[str, Any], case: Case, same: Callable[[Any, Any], bool]
    ) -> None:
        """Count a record's fields; those with null expected, or nothing, are also counted apart."""
        right = 0
        for name in case.properties:
            expected = case.expected.get(name, _ABSENT)
            given = found.get(name, _ABSENT)
            exact = given is expected or (
                _ABSENT not in (given, expected) and same(given, expected)
            )
            kinds = ["field", name, *(["null"] if expected in (None, _ABSENT) else [])]
            self.expected.update(kinds)
            self.exact.update(kinds if exact else [])
            right += exact
        self.records += 1
        self.exact_records += right == len(case.properties)


@dataclass(frozen=True)
class Case:
    """A request, the tools expected to be called, and the record expected of it."""

    request: Request
    calls: tuple[str, ...]
    expected: Mapping[str, Any]
    properties: tuple[str, ...]

    @classmethod
    def of(cls, drawn: Turn) -> Case:
        """A held-out turn as a case."""
        request = replace(drawn.request, seed=1, max_tokens=768)
        if drawn.schema is not None:
            request = replace(request, constraint=json_schema(drawn.schema))
            return cls(request, (), drawn.value, tuple(drawn.schema["properties"]))
        names = tuple(call.name for call in drawn.calls)
        if len(names) != 1:
            return cls(request, names, {}, ())
        declared = next(tool for tool in request.tools if tool.name == names[0])
        properties = tuple(declared.parameters["properties"])
        return cls(request, names, drawn.calls[0].arguments, properties)


def heldout_cases(count: int, kinds: Sequence[Kind] = ("record",)) -> list[Case]:
    """Synthetic turns of templates, field names and vocabularies that training never draws."""
    rng = random.Random("evaluate")
    return [Case.of(turn(rng, "heldout", kinds[index % len(kinds)])) for index in range(count)]


def receipt_cases(folder: Path, count: int) -> list[Case]:
    """Real receipts with their four fields."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    system = Message("system", "Save the receipt with save_record.")
    cases = []
    for name, fields in sorted(truth.items())[:count]:
        document = Message("user", (folder / f"{name}.txt").read_text(encoding="utf-8"))
        request = Request([system, document], [_RECEIPT], "save_record", seed=1, max_tokens=480)
        cases.append(Case(request, ("save_record",), fields, tuple(fields)))
    return cases


def measure(
    engine: Engine,
    cases: Sequence[Case],
    same: Callable[[Any, Any], bool],
    *,
    constrained: bool = True,
) -> Score:
    """Ask for every case and count."""
    score = Score()
    for case in cases:
        began = time.perf_counter()
        result = engine.generate(case.request, constrained=constrained)
        score.seconds.append(time.perf_counter() - began)
        score.steps.append(result.usage.denoising_steps)
        score.turns += 1
        calls: Sequence[ToolCall] = result.tool_calls
        value = result.value
        valid = bool(calls) or value is not None or not case.calls
        if not constrained:
            valid, calls, value = _parsed(case.request, result.text)
        score.valid += valid
        score.right_tool += tuple(call.name for call in calls) == case.calls
        if case.request.constraint is not None:
            score.compare(value if isinstance(value, Mapping) else {}, case, same)
        elif len(case.calls) == 1:
            chosen = len(calls) == 1 and calls[0].name == case.calls[0]
            score.compare(calls[0].arguments if chosen else {}, case, same)
    return score


def _parsed(request: Request, text: str) -> tuple[bool, Sequence[ToolCall], Any]:
    """What a free answer says, if it is a word of the language that was not held to."""
    language = request.constraint or tools(request.tools, choice=request.tool_choice)
    if not language.accepts(text):
        return False, (), None
    parsed = language.parse(text)
    return (True, (), parsed) if request.constraint else (True, parsed or (), None)


def folded(found: Any, expected: Any) -> bool:
    """Equal after trimming, folding case and joining white space."""
    return " ".join(str(found).casefold().split()) == " ".join(str(expected).casefold().split())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="Measure a checkpoint.")
    parser.add_argument("--model", default="sketch")
    parser.add_argument("--documents", type=int, default=120, help="held-out turns of each kind")
    parser.add_argument("--ways", type=int, default=20, help="of them, generated in every way")
    parser.add_argument("--receipts", type=int, default=60)
    parser.add_argument("--questions", type=int, default=20, help="of each BFCL file")
    parser.add_argument("--write", action="store_true", help="write the model card's tables")
    options = parser.parse_args()
    engine = load_engine(options.model)
    report = [_heldout_report(engine, options.documents), _ways_report(engine, options.ways)]
    if DATA.is_dir():
        report.append(_receipts_report(engine, options.receipts))
        report.append(_bfcl_report(engine, options.questions))
    else:
        print(f"{DATA} is not there: real receipts and BFCL are left out.", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report.append(f"Peak memory of the process: {peak:.0f} MiB.")
    text = "\n\n".join(report)
    print(text)
    if options.write:
        write_section(locate(options.model) / "README.md", "make eval", text)


def write_section(card: Path, name: str, text: str) -> None:
    """Put a text between the marks of that name in a model card."""
    begin, end = (f"<!-- {name}: {mark} -->" for mark in ("begin", "end"))
    before, _, rest = card.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    card.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def equal(found: Any, expected: Any) -> bool:
    """Whether a value is the expected one to the letter."""
    return found == expected


def _heldout_report(engine: Engine, count: int) -> str:
    """Records by tool and by schema, sentences with sets of tools, and files to be opened."""
    rows = []
    kinds: dict[str, tuple[Kind, int]] = {
        "documents, by tool": ("record", count),
        "documents, by schema": ("json", count // 4),
        "requests in a sentence": ("request", count // 2),
        "files to be read": ("read", count // 4),
    }
    for name, (kind, turns) in kinds.items():
        score = measure(engine, heldout_cases(turns, (kind,)), equal)
        rows.append(
            [
                f"{turns} {name}",
                f"{score.fields:.1%}",
                f"{score.exact_records / max(1, score.records):.1%}",
                f"{score.right_tool / turns:.1%}" if kind != "json" else "",
                f"{score.share('null'):.1%}" if score.expected["null"] else "",
                f"{statistics.mean(score.steps):.1f}",
                f"{statistics.median(score.seconds):.2f}",
            ]
        )
    head = ["held-out turns", "fields exact", "records exact", "right tool", "null where absent"]
    return table([*head, "steps (mean)", "seconds (median)"], rows)


def _ways_report(engine: Engine, count: int) -> str:
    """Documents in every way: constrained and free, with verified drafts and without.

    A draft that nobody verifies has to be waited for: those runs take the slower schedule.
    """
    rows, config, generation = [], engine.config, engine.generation
    cases = heldout_cases(count)
    for verified in (True, False):
        engine.config = config.model_copy(update={"verify_drafts": verified})
        engine.generation = generation if verified else PATIENT
        for constrained in (True, False):
            score = measure(engine, cases, equal, constrained=constrained)
            way = "constrained" if constrained else "free"
            rows.append(
                [
                    way + (", verified" if verified else ""),
                    f"{score.valid / score.turns:.1%}",
                    f"{score.fields:.1%}",
                    f"{score.exact_records / score.records:.1%}",
                    f"{statistics.mean(score.steps):.1f}",
                    f"{statistics.median(score.seconds):.2f}",
                ]
            )
    engine.config, engine.generation = config, generation
    head = [f"{count} documents", "valid", "fields exact", "records exact", "steps (mean)"]
    return table([*head, "seconds (median)"], rows)


def _receipts_report(engine: Engine, count: int) -> str:
    """Real receipts, field by field, beside the reader by rules."""
    cases = receipt_cases(DATA / "receipts", count)
    names = cases[0].properties
    score, rules = measure(engine, cases, folded), Score()
    for case in cases:
        rules.compare(read_receipt(case.request.messages[-1].content), case, folded)
    rows = [
        [
            way,
            *(f"{one.share(name):.1%}" for name in names),
            f"{one.exact_records / len(cases):.1%}",
            *timed,
        ]
        for way, one, timed in (
            (
                "sketch, constrained, verified",
                score,
                (f"{statistics.mean(score.steps):.1f}", f"{statistics.median(score.seconds):.2f}"),
            ),
            ("rules (`baseline.py`)", rules, ("", "")),
        )
    ]
    head = [f"{len(cases)} real receipts", *names, "whole record", "steps (mean)"]
    return table([*head, "seconds (median)"], rows)


def _bfcl_report(engine: Engine, count: int) -> str:
    """Leaderboard questions; what the constraint compiler refuses is counted, not asked."""
    rows = []
    for name in ("simple_python", "live_simple"):
        asked = right = refused = valid = 0
        for question in questions(DATA / "bfcl" / f"{name}.jsonl", count):
            try:
                result = engine.generate(question.request)
            except ConstraintError:
                refused += 1
                continue
            asked += 1
            valid += bool(result.tool_calls)
            right += is_right(question, result.tool_calls)
        total = max(1, asked)
        rows.append(
            [name, str(asked), str(refused), f"{valid / total:.1%}", f"{right / total:.1%}"]
        )
    return table(["BFCL", "asked", "refused", "schema-valid", "right call"], rows)


if __name__ == "__main__":
    main()
