"""Real tool declarations and calls: `python -m gesso.engine.benchmarks.bfcl`.

The data are questions of the Berkeley Function-Calling Leaderboard (ShishirPatil/gorilla): tool
declarations whose types are spelled as Python, Java or JavaScript would, and for each parameter of
the expected calls the values that are accepted. Counted are the declarations that compile, each on
its own, and the calls that their constraint renders in the native form and accepts.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..constraint import Constraint, tools
from ..errors import ConstraintError
from ..request import ToolCall, ToolDeclaration

FOLDER = Path("../shared/data/bfcl")

# the leaderboard's spellings by what they mean in JSON; "any" is left out: it says nothing
_TYPES = {
    spelling: name
    for name, spellings in {
        "object": "dict object HashMap Hashtable",
        "array": "array list tuple Array ArrayList Queue Set Stack",
        "string": "string String str char",
        "integer": "integer int Integer byte short long Bigint",
        "number": "number float double Float Double",
        "boolean": "boolean bool Boolean",
        "null": "null",
    }.items()
    for spelling in spellings.split()
}


@dataclass(frozen=True)
class Question:
    """The tools that are declared and the calls that are expected; none where no tool fits."""

    name: str
    declarations: Sequence[ToolDeclaration]
    calls: Sequence[ToolCall]


@dataclass(frozen=True)
class Outcome:
    """What became of a declaration or of a call: `refusal` says why it was refused, `None` that it
    was not. A call is `rightly` refused where it is not valid against its own declaration."""

    kind: Literal["declaration", "call"]
    name: str
    refusal: str | None
    rightly: bool = False


def json_schema_of(declared: Mapping[str, Any]) -> dict[str, Any]:
    """A declared parameter as JSON Schema: the type's spelling is changed and nothing else.

    Raises:
        ValueError: the leaderboard has no such type.
    """
    schema = dict(declared)
    spelling = schema.pop("type", "any")
    if spelling.lower() != "any":
        if spelling not in _TYPES:
            raise ValueError(f"not a type of the leaderboard: {spelling!r}")
        schema = {"type": _TYPES[spelling], **schema}
    if "properties" in schema:
        schema["properties"] = {
            name: json_schema_of(inner) for name, inner in schema["properties"].items()
        }
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), Mapping):
            schema[keyword] = json_schema_of(schema[keyword])
    return schema


def read_questions(file: Path) -> Iterator[Question]:
    """The questions of one file, in order."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        declarations = tuple(
            ToolDeclaration(tool["name"], tool["description"], json_schema_of(tool["parameters"]))
            for tool in row["function"]
        )
        parameters = {tool.name: tool.parameters for tool in declarations}
        calls = tuple(
            ToolCall(name, _first_accepted(accepted, parameters[name]))
            for call in row["ground_truth"] or ()
            for name, accepted in call.items()
        )
        yield Question(row["id"], declarations, calls)


def try_question(question: Question) -> Iterator[Outcome]:
    """Compile every declaration on its own, and render every call under its declaration."""
    constraints: dict[str, Constraint] = {}
    for declaration in question.declarations:
        refusal = None
        try:
            constraints[declaration.name] = tools([declaration])
        except ConstraintError as error:
            refusal = str(error).replace(f"tool {declaration.name}", "tool …")
        yield Outcome("declaration", declaration.name, refusal)
    schemas = {declaration.name: declaration.parameters for declaration in question.declarations}
    for call in question.calls:
        refusal = _refusal(call, constraints.get(call.name))
        invalid = best_match(Draft202012Validator(schemas[call.name]).iter_errors(call.arguments))
        if invalid is None:
            yield Outcome("call", call.name, refusal)
        elif refusal is None:
            yield Outcome("call", call.name, f"accepted and not valid: {invalid.message}")
        else:
            yield Outcome("call", call.name, f"not valid: {invalid.message}", rightly=True)


def _refusal(call: ToolCall, constraint: Constraint | None) -> str | None:
    if constraint is None:
        return "its declaration does not compile"
    try:
        accepted = constraint.accepts(constraint.render(call))
    except ConstraintError as error:
        return str(error)
    return None if accepted else "it is rendered and then not accepted"


def _first_accepted(accepted: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The first accepted value of each parameter; `""` among them says that it may be left out,
    and then it is, where the declaration does not require it."""
    chosen = {}
    for name, listed in accepted.items():
        values = listed if isinstance(listed, list) else [listed]  # one object names plain values
        if name in schema.get("required", ()):
            value = next((value for value in values if value != ""), "")
        elif values and "" not in values:
            value = values[0]
        else:
            continue
        chosen[name] = _chosen(value, schema.get("properties", {}).get(name, {}))
    return chosen


def _chosen(value: Any, schema: Mapping[str, Any]) -> Any:
    """An accepted object, in arrays too, has accepted values for each of its own members."""
    if isinstance(value, Mapping):
        return _first_accepted(value, schema)
    if isinstance(value, list):
        return [_chosen(item, schema.get("items", {})) for item in value]
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="bfcl")
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder of the questions")
    arguments = parser.parse_args()
    files = sorted(arguments.data.glob("*.jsonl"))
    if not files:
        parser.error(f"{arguments.data} has no questions: name their folder with --data")
    table = Table("file", "declarations compiled", "calls accepted", "calls rightly refused")
    outcomes: list[Outcome] = []
    for file in files:
        questions = track(list(read_questions(file)), file.stem, console=Console(stderr=True))
        of_file = [outcome for question in questions for outcome in try_question(question)]
        table.add_row(file.stem, *_counts(of_file))
        outcomes += of_file
    table.add_row("all", *_counts(outcomes))
    console = Console()
    console.print(table)
    reasons = Counter(
        (outcome.rightly, outcome.kind, outcome.refusal) for outcome in outcomes if outcome.refusal
    )
    for (rightly, kind, reason), count in sorted(
        reasons.items(), key=lambda item: (item[0][0], -item[1])
    ):
        line = f"{count:5} {kind}, {'rightly' if rightly else 'wrongly'}: {reason}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _counts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for kind in ("declaration", "call"):
        refusals = [outcome.refusal for outcome in outcomes if outcome.kind == kind]
        yield f"{refusals.count(None)} / {len(refusals)}"
    yield str(sum(outcome.rightly for outcome in outcomes))


if __name__ == "__main__":
    main()
