"""How sure the model was of each value: pointers of a text, posteriors of its tokens."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gesso.engine import Engine, Message, Request, json_schema, load_engine, regex
from gesso.engine.confidence import scalar_confidence, scalars

ASK = (Message("user", "Receipt of 3 May, 4.50 in all."),)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "fixed": {"const": "always"},
        "paid": {"type": "boolean"},
        "company": {"type": ["string", "null"], "maxLength": 8},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"é/~": {"type": "integer"}}},
            "maxItems": 2,
        },
    },
    "required": ["fixed", "paid", "company", "lines"],
}


@pytest.fixture(scope="module", params=[False, True], ids=["sampled", "verified"])
def engine(request: pytest.FixtureRequest) -> Engine:
    loaded = load_engine("sketch")
    loaded.config = loaded.config.model_copy(update={"verify_drafts": request.param})
    return loaded


def leaves(value: Any, pointer: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        named = {name.replace("~", "~0").replace("/", "~1"): one for name, one in value.items()}
    elif isinstance(value, list):
        named = dict(enumerate(value))
    else:
        return {pointer: value}
    return {
        path: leaf
        for name, one in named.items()
        for path, leaf in leaves(one, f"{pointer}/{name}").items()
    }


@pytest.mark.parametrize(
    "value",
    [
        3,
        "",
        None,
        [],
        [[], [True, -1.5e3]],
        {"a": {}, "b/c": {"~": 'x"\\'}, "é": ["ü", {"": 0}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_every_scalar_is_found_at_its_pointer(value: Any, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent).encode()
    found = {one.pointer: json.loads(text[one.start : one.end]) for one in scalars(text)}
    assert found == leaves(value)


def test_a_scalars_confidence_is_the_mean_over_the_tokens_that_touch_it() -> None:
    #        thought|   {"a  ":"  xé"  ,"b  ":12  }
    sizes = np.array([4, 3, 3, 4, 3, 4, 1])
    posteriors = [0.0, 1.0, 0.5, 0.25, 1.0, 0.75, 0.125]
    found = scalar_confidence('{"a":"xé","b":12}', sizes, posteriors)
    assert found == {"/a": (0.5 + 0.25) / 2, "/b": 0.75}


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_has_a_confidence_for_each_of_its_scalars(engine: Engine, seed: int) -> None:
    request = Request(ASK, constraint=json_schema(SCHEMA), seed=seed, max_tokens=120)
    result = engine.generate(request)
    assert result.confidence.keys() == leaves(result.value).keys()
    assert all(0.0 <= one <= 1.0 for one in result.confidence.values())
    assert result.confidence["/fixed"] > 0.99  # but for white space around it, certain
    assert result.confidence["/paid"] < 1.0  # a choice


def test_only_an_answer_under_a_schema_has_a_confidence(engine: Engine) -> None:
    assert engine.generate(Request(ASK, constraint=regex("[0-9]{3}"), seed=1)).confidence == {}


def test_a_prompts_tokens_are_counted_without_a_turn(engine: Engine) -> None:
    request = Request(ASK, constraint=json_schema(SCHEMA), seed=1, max_tokens=120)
    assert engine.prompt_tokens(request) == engine.generate(request).usage.prompt_tokens
