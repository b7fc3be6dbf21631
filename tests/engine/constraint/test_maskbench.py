"""Constraints of real schemas, and the benchmark that counts them, on a sample of MaskBench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gesso.engine import Constraint, ConstraintError, EngineError, json_schema
from gesso.engine.benchmarks.judges import Language, RefusalError
from gesso.engine.benchmarks.maskbench import read_cases, row_of, run, score
from gesso.engine.benchmarks.worker import Case, Verdict, judge_with
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

DATA = Path(__file__).parents[3] / "../shared/data/maskbench-dev.jsonl.gz"
EVERY = 37

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"the data are not there: {DATA}")


@pytest.fixture(scope="module")
def sample() -> list[Case]:
    return read_cases(DATA)[::EVERY]


@pytest.fixture(scope="module")
def compiled(sample: list[Case]) -> list[tuple[Case, Constraint]]:
    found = []
    for case in sample:
        with suppress(ConstraintError):
            found.append((case, json_schema(case.schema)))
    assert found
    return found


def test_no_invalid_instance_of_a_real_schema_is_accepted(
    compiled: Sequence[tuple[Case, Constraint]],
) -> None:
    accepted = [
        (case.name, text)
        for case, constraint in compiled
        for text, valid in case.texts
        if not valid and constraint.accepts(text)
    ]
    assert not accepted


def test_whatever_a_real_schema_accepts_of_all_instances_validates(
    sample: list[Case], compiled: Sequence[tuple[Case, Constraint]]
) -> None:
    texts = [text for case in sample for text, _ in case.texts]
    for case, constraint in compiled:
        validator = validator_for(case.schema, default=Draft202012Validator)
        validator = validator(case.schema, format_checker=validator.FORMAT_CHECKER)
        for text in texts:
            if constraint.accepts(text):
                assert validator.is_valid(json.loads(text)), (case.name, text)


def test_the_benchmark_judges_in_a_process_as_here_and_its_counts_add_up(
    sample: list[Case], compiled: Sequence[tuple[Case, Constraint]]
) -> None:
    few = sample[:20]
    rows: list[dict[str, Any]] = []
    verdicts = run("gesso", few, 2, lambda *pair: rows.append(row_of("gesso", *pair)))
    assert [verdict.name for verdict in verdicts] == [case.name for case in few]
    assert {row["schema"] for row in rows} == {case.name for case in few}
    names = {case.name for case, _ in compiled}
    assert [verdict.milliseconds is not None for verdict in verdicts] == [
        case.name in names for case in few
    ]
    result = score(few, verdicts)
    wrong = [row for row in rows if row["valid_rejected"] or row["invalid_accepted"]]
    assert result.passing + result.compile_error + len(wrong) == result.schemas == len(few)
    assert result.compile_error == sum(not row["compiled"] for row in rows)
    assert all(row["reason"] for row in rows if not row["compiled"])
    assert all(row["first_wrong"]["text"] for row in wrong)


def test_a_schema_counts_for_each_kind_of_wrong_and_passes_only_without() -> None:
    texts = (("1", True), ("2", False))
    cases = [Case(name, True, texts) for name in "abcd"]
    verdicts = [
        Verdict("a", 1.0),
        Verdict("b", 2.0, wrong=(0, 1)),
        Verdict("c", 3.0, wrong=(1,)),
        Verdict("d", reason="refused"),
    ]
    result = score(cases, verdicts)
    assert (result.passing, result.compile_error) == (1, 1)
    assert (result.valid_rejected, result.invalid_accepted) == (1, 2)
    assert result.compile_p50 == 2.0


def test_what_an_engine_raises_is_a_refusal_of_that_schema() -> None:
    def refuses(schema: object) -> Language:
        raise RefusalError("no", "/items", "items")

    def fails(schema: object) -> Language:
        raise RuntimeError("lost")

    case = Case("a", True, (("1", True),))
    assert judge_with(refuses, case) == Verdict("a", None, "no", "/items", "items")
    assert judge_with(fails, case) == Verdict("a", None, "RuntimeError: lost")


def test_an_engine_that_cannot_be_loaded_is_an_error_not_a_row_of_refusals() -> None:
    with pytest.raises(EngineError, match="cannot be measured"):
        run("no such engine", [Case("a", True, ())], 1, lambda case, verdict: None)
