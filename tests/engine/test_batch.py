"""Turns side by side: each is what it would be alone."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest
from gesso.engine import (
    AnswerError,
    BudgetError,
    ContextError,
    Engine,
    EngineError,
    Message,
    Request,
    Result,
    ToolDeclaration,
    choice,
    json_schema,
    load_engine,
    regex,
)
from gesso.engine.rows import CHUNK
from oracle import Shape, save_checkpoint

SCHEMA = json_schema(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "kind": {"enum": ["one", "two", "three"]},
            "parts": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        },
        "required": ["name", "kind"],
    }
)
TOOL = ToolDeclaration(
    "save",
    "Save it.",
    {"type": "object", "properties": {"a": {"type": "string", "maxLength": 6}}, "required": ["a"]},
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, Shape("tiny", layers="sfs", canvas=16))
    loaded = load_engine(folder)
    loaded.config = loaded.config.model_copy(update={"verify_drafts": True, "draft_window": 7})
    return loaded


def asked(rng: random.Random) -> Request:
    """One of many unlike requests."""
    messages = [Message("user", "tell " * rng.choice([1, 2, 40, 90]))]
    if rng.random() < 0.5:
        messages.insert(0, Message("system", "You read documents, and answer in the form asked."))
    seed, budget = rng.randrange(99), rng.choice([33, 48, 64, 96])
    kind = rng.randrange(5)
    if kind == 0:
        return Request(messages, seed=seed, max_tokens=budget)
    if kind == 1:
        return Request(messages, [TOOL], rng.choice(["auto", "save"]), seed=seed, max_tokens=budget)
    constraint = [SCHEMA, regex("[a-d]{3,40}"), choice(["yes", "no", "not at all"])][kind - 2]
    return Request(messages, constraint=constraint, seed=seed, max_tokens=budget)


def results(outcomes: Sequence[Result | EngineError]) -> list[Result]:
    assert all(isinstance(outcome, Result) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Result)]


@pytest.mark.parametrize("seed", range(12))
def test_a_turn_is_the_same_alone_and_in_company(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    requests = [asked(rng) for _ in range(rng.randint(2, 7))]
    together = results(engine.generate_batch(requests))
    for request, result in zip(requests, together, strict=True):
        alone = engine.generate(request)
        assert result.text == alone.text
        assert result.tool_calls == alone.tool_calls
        assert result.finish_reason == alone.finish_reason
        assert result.usage.denoising_steps == alone.usage.denoising_steps
        assert result.confidence == pytest.approx(alone.confidence, abs=1e-4)


def test_what_cannot_be_written_is_an_error_in_its_place(engine: Engine) -> None:
    good = Request([Message("user", "a")], constraint=SCHEMA, seed=1, max_tokens=64)
    tight = Request([Message("user", "a")], constraint=regex("a{60}"), seed=1, max_tokens=16)
    long = Request([Message("user", "word " * 4000)], constraint=SCHEMA)
    same = {"type": "array", "items": {"enum": [7]}, "minItems": 2, "maxItems": 2}
    unique = json_schema(same | {"uniqueItems": True})
    broken = Request([Message("user", "a")], constraint=unique, seed=1, max_tokens=48)
    first, small, huge, wrong, last = engine.generate_batch([good, tight, long, broken, good])
    assert isinstance(small, BudgetError)
    assert isinstance(huge, ContextError)
    assert isinstance(wrong, AnswerError)
    assert wrong.usage.output_tokens > 0
    assert isinstance(first, Result)
    assert isinstance(last, Result)
    assert first.text == last.text == engine.generate(good).text


def test_no_request_is_no_work(engine: Engine) -> None:
    assert engine.generate_batch([]) == []


def test_a_checkpoint_that_does_not_verify_writes_them_one_after_the_other(engine: Engine) -> None:
    verified = engine.config
    engine.config = verified.model_copy(update={"verify_drafts": False})
    try:
        requests = [asked(random.Random(seed)) for seed in range(3)]
        together = results(engine.generate_batch(requests))
        assert [r.text for r in together] == [engine.generate(r).text for r in requests]
    finally:
        engine.config = verified


def test_the_seconds_of_a_batch_are_shared_out(engine: Engine) -> None:
    requests = [
        Request([Message("user", "a")], constraint=SCHEMA, seed=n, max_tokens=64) for n in range(4)
    ]
    began = time.perf_counter()
    together = results(engine.generate_batch(requests))
    wall = time.perf_counter() - began
    spent = sum(r.usage.prefill_seconds + r.usage.denoising_seconds for r in together)
    assert 0 < spent <= wall
    assert all(r.usage.prefill_seconds > 0 for r in together)


def test_a_prompt_that_begins_as_an_earlier_one_is_not_encoded_anew(engine: Engine) -> None:
    system = Message("system", "Read what follows with care. " * 20)
    requests = [
        Request([system, Message("user", text)], constraint=SCHEMA, seed=3, max_tokens=64)
        for text in ("first", "second", "third")
    ]
    fresh = [_fresh(engine).generate(request) for request in requests]
    assert all(result.usage.cached_tokens == 0 for result in fresh)
    own = _fresh(engine)
    cached = results(own.generate_batch(requests))
    again = own.generate(requests[0])
    assert cached[0].usage.cached_tokens == 0
    for result in (*cached[1:], again):
        assert result.usage.cached_tokens >= CHUNK
        assert result.usage.cached_tokens % CHUNK == 0
        assert result.usage.cached_tokens < result.usage.prompt_tokens
    assert [r.text for r in (*cached, again)] == [r.text for r in (*fresh, fresh[0])]
    assert again.confidence == fresh[0].confidence  # to the bit: it is what would be computed


def test_what_is_kept_of_prompts_is_bounded(engine: Engine) -> None:
    own = _fresh(engine)
    own._prefixes._most = 4 * CHUNK
    for number in range(6):
        own.generate(Request([Message("user", f"{number} " * 2 * CHUNK)], seed=1, max_tokens=16))
    assert sum(map(len, own._prefixes._held)) <= 4 * CHUNK


def _fresh(engine: Engine) -> Engine:
    """The same engine, which remembers nothing."""
    parts = (engine.model, engine.config, engine.generation, engine.tokenizer, engine.template)
    return Engine(engine.name, *parts)
