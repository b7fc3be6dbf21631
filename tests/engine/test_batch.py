"""Turns written side by side: each is what it would be alone, whoever its neighbours are.

To the last bit, its confidence too: a job that is killed and goes on in other batches writes the
same bytes.
"""

from __future__ import annotations

import random
import time
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from gesso.engine import (
    BudgetError,
    Constraint,
    ContextError,
    Engine,
    EngineError,
    Message,
    Request,
    RequestError,
    Result,
    ToolDeclaration,
    choice,
    json_schema,
    load_engine,
    regex,
)
from gesso.engine.model import DiffusionGemma
from oracle import Shape, save_checkpoint

RECORD = {
    "type": "object",
    "properties": {
        "company": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["bill", "ticket", None]},
        "total": {"type": "number"},
    },
    "required": ["company", "kind", "total"],
}
CONSTRAINTS: list[Constraint | None] = [
    None,
    regex("[0-9]{3,40}"),
    choice(["one", "two", "three hundred"]),
    choice(["only this"]),
    json_schema(RECORD),
    json_schema({"type": "array", "items": {"type": "boolean"}, "maxItems": 5}),
]
SAVE = ToolDeclaration("save_record", "Save it.", RECORD)
WORDS = [
    "TOTAL",
    "4.50",
    "CASH",
    "Norwich",
    "14/03/2026",
    "HOLLIS",
    "BAKERY",
    "x",
    "loaf",
    "Mill",
    "Lane",
    "8.40",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, Shape("tiny", layers="sfs", window=6, canvas=16))
    return load_engine(folder)


@pytest.fixture(params=["tiny, sampled", "tiny, verified", "sketch"])
def engine(request: pytest.FixtureRequest, tiny: Engine) -> Engine:
    if request.param == "sketch":
        return load_engine("sketch")
    verified = request.param == "tiny, verified"
    tiny.config = tiny.config.model_copy(update={"verify_drafts": verified, "draft_window": 7})
    return tiny


def drawn(rng: random.Random, *, system: str = "") -> Request:
    """A request of any kind, short or long."""
    asked = " ".join(rng.choices(WORDS, k=rng.randint(1, 40)))
    messages = [*([Message("system", system)] if system else []), Message("user", asked)]
    request = Request(messages, seed=rng.randint(0, 99), max_tokens=rng.randint(60, 120))
    if rng.random() < 0.2:
        return replace(request, tools=[SAVE], tool_choice=rng.choice(["auto", "required"]))
    return replace(request, constraint=rng.choice(CONSTRAINTS))


def said(found: Result | EngineError) -> object:
    """What must not depend on neighbours: all but seconds and what was cached."""
    assert isinstance(found, Result)
    usage = replace(found.usage, cached_tokens=0, prefill_seconds=0, denoising_seconds=0)
    return replace(found, usage=usage)


@pytest.mark.parametrize("seed", range(3))
def test_a_turn_does_not_depend_on_its_neighbours(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    requests = [drawn(rng) for _ in range(rng.randint(2, 7))]
    expected = [said(engine.generate(request)) for request in requests]
    assert list(map(said, engine.generate_batch(requests))) == expected
    order = rng.sample(range(len(requests)), len(requests))
    found = engine.generate_batch([requests[number] for number in order])
    assert list(map(said, found)) == [expected[number] for number in order]


def test_one_that_cannot_be_written_has_its_error_in_its_place(tiny: Engine) -> None:
    checked = {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}
    ask = (Message("user", "?"),)
    fine = Request(ask, constraint=choice(["fine"]))
    found = tiny.generate_batch(
        [
            fine,
            Request(ask, constraint=regex("[0-9]{9}"), max_tokens=5),
            Request((Message("user", "x" * 2000),)),
            Request(ask, [SAVE], constraint=choice(["a"])),
            Request(ask, constraint=json_schema(checked), seed=1, max_tokens=32),
            fine,
        ]
    )
    first, budget, context, contradiction, answer, last = found
    assert isinstance(first, Result)
    assert isinstance(last, Result)
    assert first.text == last.text == "fine"
    assert isinstance(budget, BudgetError)
    assert isinstance(context, ContextError)
    assert isinstance(contradiction, RequestError)
    assert "not valid" in str(answer)
    assert tiny.generate_batch([]) == []


def test_the_seconds_of_a_batch_add_up_to_what_it_took(engine: Engine) -> None:
    rng = random.Random(5)
    requests = [drawn(rng) for _ in range(6)]
    engine.generate_batch(requests)  # everything is compiled
    began = time.perf_counter()
    found = engine.generate_batch(requests)
    wall = time.perf_counter() - began
    usages = [one.usage for one in found if isinstance(one, Result)]
    charged = sum(usage.prefill_seconds + usage.denoising_seconds for usage in usages)
    assert 0.75 * wall < charged <= wall  # the rest is rendering and parsing


@torch.inference_mode()
def test_passes_of_any_kind_read_together_what_they_read_alone(tiny: Engine) -> None:
    model = tiny.model
    assert isinstance(model, DiffusionGemma)
    passes, alone = [], []
    for count in (3, 20, 9):
        for runs in (passes, alone):  # the same twice, with caches of their own
            torch.manual_seed(count)
            cache = model.new_cache()
            tokens = torch.randint(600, (count,)).tolist()
            model.run([model.reading(tokens, cache)])
            cache.length += count
            canvas, soft = torch.randint(600, (12,)), torch.randn(12, 32)
            runs += [
                model.drafting(canvas, cache, max(1, count - 5)),
                model.drafting(canvas, deepcopy(cache), count, soft),
                model.reading([5, 6, 7], deepcopy(cache)),
                model.branching([[1, 2], [3], [4, 5, 6]], deepcopy(cache)),
            ]
    together = model.run(passes)
    for one, states in zip(alone, together, strict=True):
        assert torch.equal(model.run([one])[0], states)


@torch.inference_mode()
def test_a_draft_leaves_what_the_encoder_has_read_as_it_was(tiny: Engine) -> None:
    model = tiny.model
    assert isinstance(model, DiffusionGemma)
    cache = model.new_cache()
    model.run([model.reading(list(range(30)), cache)])
    cache.length = 30
    before = [[one.clone() for one in cache.prefix(layer)] for layer in range(3)]
    model.run([model.drafting(torch.arange(40), cache, 12)])
    for layer, kept in enumerate(before):
        assert all(map(torch.equal, kept, cache.prefix(layer)))
