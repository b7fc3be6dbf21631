"""Random weights under five hundred real schemas: whatever they write is valid."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from gesso.engine import (
    AnswerError,
    BudgetError,
    ConstraintError,
    Message,
    Request,
    json_schema,
    load_engine,
)
from jsonschema.validators import validator_for
from oracle import Shape, save_checkpoint

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "maskbench-dev.jsonl.gz"
SCHEMAS = 500
ASK = Request((Message("user", "?"),), max_tokens=512)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason=f"the schemas are not there: {DATA}")
def test_whatever_random_weights_write_under_a_real_schema_is_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path, Shape("random", layers="sf", canvas=64))
    engine = load_engine(tmp_path)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with gzip.open(DATA) as lines:
        rows = [json.loads(line) for line in lines]
    for seed, row in enumerate(rows[:: len(rows) // SCHEMAS][:SCHEMAS]):
        schema, checked = row["schema"], ()
        try:
            constraint = json_schema(schema)
            checked = constraint.checked
            untold = replace(constraint, schema=True)  # random weights need not read it
            result = engine.generate(replace(ASK, constraint=untold, seed=seed))
        except ConstraintError:
            counts["refused"] += 1
        except BudgetError:
            counts["no text in 512 tokens"] += 1
        except AnswerError:
            assert checked
            counts["refused when finished"] += 1
        else:
            kind = validator_for(schema)
            checker = kind.FORMAT_CHECKER
            valid = kind(schema, format_checker=checker).is_valid(json.loads(result.text))
            counts["valid" if valid else "not valid"] += 1
            if not valid:
                wrong.append(f"{row['id']}: {result.text}")
    with capsys.disabled():
        print("\n" + "\n".join(f"{count:5} {name}" for name, count in sorted(counts.items())))
    assert not wrong
    assert counts["valid"] > 0.9 * SCHEMAS
