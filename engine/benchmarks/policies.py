"""What holding a canvas to a constraint costs and gains, policy by policy:
`python -m gesso.engine.benchmarks.policies --records 500`.

Held-out records, and choices among ten labels, with the bundled model: free (the same prompt and
engine, no constraint), plainly projected, and under each policy, alone and together. Every record
is written every way before the next one is begun, so that a busy machine slows all ways alike.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..config import GenerationConfig
from ..constraint import tools
from ..course import Course
from ..engine import Engine, load_engine
from ..request import Commit, Message, Request, ToolDeclaration
from ..training.documents import example
from ..training.evaluate import PATIENT, Case, heldout_cases
from ..views import Pass


class Projected(Course):
    """Plain projection: drafts are read under the constraint, and nothing else is made of it."""

    def certain(self) -> list[int]:
        """Left to the model."""
        return []

    def alternatives(self) -> list[list[int]]:
        """Left to the model."""
        return []


class Certain(Course):
    """What is certain is known; a few ways on are drafted like everything else."""

    def alternatives(self) -> list[list[int]]:
        """Left to the model."""
        return []


class Read(Course):
    """A few ways on are read; what is certain is drafted like everything else."""

    def certain(self) -> list[int]:
        """Left to the model."""
        return []


@dataclass(frozen=True)
class Way:
    """One way of writing the records; without a `course`, free."""

    name: str
    course: type[Course] | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    generation: GenerationConfig | None = None


WHOLE: Mapping[str, Any] = {"draft_window": None}
OFF: Mapping[str, Any] = {"verify_drafts": False}
VERIFIED = (
    Way("free", None),
    Way("projected", Projected),
    Way("certain", Certain),
    Way("few ways read", Read),
    Way("**certain, few ways read (default)**", Course),
    Way("the same, drafts of a whole canvas", Course, WHOLE),
)
UNVERIFIED = (
    Way("free", None, OFF, PATIENT),
    Way("projected", Projected, OFF, PATIENT),
    Way("certain", Certain, OFF, PATIENT),
    Way("few ways read", Read, OFF, PATIENT),
    Way("**certain, few ways read (default)**", Course, OFF, PATIENT),
)


@dataclass
class Tally:
    """What one way gave."""

    valid: int = 0
    exact: int = 0
    expected: int = 0
    records: int = 0
    exact_records: int = 0
    steps: list[int] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    longer: list[int] = field(default_factory=list)  # characters of string values beyond the truth

    def count(self, found: Mapping[str, Any] | None, expected: Mapping[str, Any]) -> None:
        """Take in one record, `None` when what was written is not a valid call."""
        self.records += 1
        self.valid += found is not None
        right = [name for name, value in expected.items() if found and found.get(name) == value]
        self.exact += len(right)
        self.expected += len(expected)
        self.exact_records += len(right) == len(expected)
        for name, value in expected.items():
            if found and isinstance(value, str) and isinstance(found.get(name), str):
                self.longer.append(len(found[name]) - len(value))

    def row(self, name: str) -> str:
        """One line of the table."""
        longer = f"{statistics.mean(self.longer):+.2f}" if self.longer else ""
        return (
            f"| {name} | {self.valid / self.records:.1%} | {self.exact / self.expected:.1%}"
            f" | {self.exact_records / self.records:.1%} | {statistics.mean(self.steps):.1f}"
            f" | {max(self.steps)} | {statistics.mean(self.passes):.1f}"
            f" | {statistics.median(self.seconds):.3f} | {longer} |"
        )


HEAD = (
    "| | valid | fields exact | records exact | denoising steps (mean) | (most)"
    " | encoder passes (mean) | seconds (median) | length of strings |\n" + "|---" * 9 + "|"
)


class Bench:
    """An engine that can be asked in every way; it counts the encoder's passes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._config = engine.config
        self._generation = engine.generation
        self._passes = 0
        self._run = engine.model.run
        setattr(engine.model, "run", self._counted)  # noqa: B010

    def _counted(self, passes: Sequence[Pass]) -> list[torch.Tensor]:
        self._passes += sum(not one.view.denoises for one in passes)
        return self._run(passes)

    def write(self, way: Way, case: Case, tally: Tally) -> None:
        """Write one record one way."""
        engine, request = self._engine, _request(case)
        engine.config = self._config.model_copy(update=dict(way.changes))
        engine.generation = way.generation or self._generation
        engine.course_type = way.course or Course
        self._passes = 0
        began = time.perf_counter()
        result = engine.generate(request, constrained=way.course is not None)
        tally.seconds.append(time.perf_counter() - began)
        calls = result.tool_calls
        if way.course is None:
            language = tools(request.tools, choice=request.tool_choice)
            calls = language.parse(result.text) if language.accepts(result.text) else ()
        tally.steps.append(result.usage.denoising_steps)
        tally.passes.append(self._passes)
        tally.count(calls[0].arguments if calls else None, case.expected)

    def respelled(self, cases: Sequence[Case]) -> float:
        """The share of turns whose text the tokenizer would cut otherwise than it was written."""
        self._engine.config, self._engine.generation = self._config, self._generation
        self._engine.course_type = Course

        async def differs(case: Case) -> bool:
            tokens: list[int] = []
            async for event in self._engine.stream(_request(case)):
                if isinstance(event, Commit):
                    tokens += event.tokens
            text = self._engine.tokenizer.decode(tokens)
            return self._engine.tokenizer.encode(text) != tokens

        return statistics.mean(asyncio.run(differs(case)) for case in cases)


def _request(case: Case) -> Request:
    """The case's turn as one call of the tool that is right."""
    (name,) = case.calls
    named = [tool for tool in case.request.tools if tool.name == name]
    return replace(case.request, tools=named, tool_choice=name, max_tokens=480)


def choice_cases(count: int, labels: int = 10) -> list[Case]:
    """Documents of which one entry is asked for, given as one of ten labels of its kind."""
    rng, pool, cases = random.Random("choices"), {}, []
    drawn = [example(rng, "heldout") for _ in range(6 * count)]
    for one in drawn:
        for _, entry in one.asked:
            pool.setdefault(entry.kind, set()).add(entry.value)
    for one in drawn:
        asked = [(name, entry) for name, entry in one.asked if one.record.get(name) == entry.value]
        if not asked:
            continue
        name, entry = rng.choice(asked)
        others = sorted(pool[entry.kind] - {entry.value})
        if entry.choices or len(others) < labels - 1:
            continue
        options = rng.sample([entry.value, *rng.sample(others, labels - 1)], labels)
        described = {"type": "string", "description": entry.descriptions[0], "enum": options}
        schema = {"type": "object", "properties": {name: described}, "required": [name]}
        tool = ToolDeclaration(one.tool, one.tool_description, schema)
        messages = [Message("system", one.instruction), Message("user", one.document)]
        request = Request(messages, [tool], tool.name, seed=1)
        cases.append(Case(request, (tool.name,), {name: entry.value}, (name,)))
        if len(cases) == count:
            break
    return cases


def table(bench: Bench, cases: Sequence[Case], ways: Sequence[Way]) -> str:
    """A Markdown table, one row a way."""
    tallies = [Tally() for _ in ways]
    for case in cases:
        for way, tally in zip(ways, tallies, strict=True):
            bench.write(way, case, tally)
    rows = [tally.row(way.name) for way, tally in zip(ways, tallies, strict=True)]
    return "\n".join([HEAD, *rows])


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="Compare policies of constrained decoding.")
    parser.add_argument("--model", default="sketch")
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--choices", type=int, default=200)
    parser.add_argument("--unverified", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a model this small: a second thread only waits
    bench = Bench(load_engine(options.model))
    records, choices = heldout_cases(options.records), choice_cases(options.choices)
    alone, few = records[: options.unverified], choices[: options.unverified]
    for title, cases, ways in (
        ("held-out records, drafts verified", records, VERIFIED),
        ("choices among ten labels, drafts verified", choices, VERIFIED),
        ("held-out records, nothing verified", alone, UNVERIFIED),
        ("choices among ten labels, nothing verified", few, UNVERIFIED),
    ):
        print(f"**{len(cases)} {title}**\n\n{table(bench, cases, ways)}\n", flush=True)
    share = bench.respelled(records[:100])
    print(f"Committed texts that the tokenizer would cut otherwise: {share:.1%}")


if __name__ == "__main__":
    main()
