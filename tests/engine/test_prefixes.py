"""Beginnings that prompts share are encoded once, and change nothing but the time it takes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from gesso.engine import Engine, Message, Request, Result, choice, json_schema, load_engine
from gesso.engine.prefixes import Prefixes
from gesso.engine.views import BLOCK

SCHEMA = {"type": "object", "properties": {"total": {"type": "string"}}, "required": ["total"]}
SYSTEM = Message("system", "Read the receipt and write down what it says in a record.")


@pytest.fixture
def engine() -> Engine:
    return load_engine("sketch")


def ask(text: str, system: Message = SYSTEM) -> Request:
    return Request(
        (system, Message("user", text)), constraint=json_schema(SCHEMA), seed=1, max_tokens=60
    )


def written(found: Sequence[object]) -> list[Result]:
    assert all(isinstance(one, Result) for one in found)
    return [one for one in found if isinstance(one, Result)]


def shared(engine: Engine, *requests: Request) -> int:
    """How many tokens the requests' prompts begin with alike, in whole blocks."""
    prompts = [engine.tokenizer.encode(engine.template.render(one)) for one in requests]
    columns = enumerate(zip(*prompts, strict=False))
    alike = next(place for place, tokens in columns if len(set(tokens)) > 1)
    assert alike > BLOCK
    return alike // BLOCK * BLOCK


def test_what_a_batch_shares_is_encoded_once_and_kept_for_the_next(engine: Engine) -> None:
    first = [ask("TOTAL 4.50"), ask("CASH 9.00, CHANGE 1.00"), ask("Sum: 3")]
    common = shared(engine, *first)
    cached = [one.usage.cached_tokens for one in written(engine.generate_batch(first))]
    assert cached == [0, common, common]
    after = written(engine.generate_batch([ask("Total 1"), ask("Due: 7.20")]))
    assert [one.usage.cached_tokens for one in after] == [common, common]
    assert engine.generate(ask("BALANCE 8")).usage.cached_tokens == common


def test_a_turn_takes_up_what_it_has_in_common_with_the_one_before(engine: Engine) -> None:
    requests = [ask("TOTAL 4.50"), ask("CASH 9.00"), ask("Sum: 3")]
    cached = [engine.generate(request).usage.cached_tokens for request in requests]
    assert cached == [0, 0, shared(engine, *requests)]


def test_a_turn_behind_a_kept_prefix_is_the_same(engine: Engine) -> None:
    requests = [ask("TOTAL 4.50"), ask("CASH 9.00, CHANGE 1.00, TOTAL 8.00"), ask("Sum: 3")]
    fresh = [load_engine("sketch").generate(request) for request in requests]
    engine.generate_batch(requests)
    for request, expected in zip(requests, fresh, strict=True):
        found = engine.generate(request)
        assert found.usage.cached_tokens > 0
        assert found.text == expected.text
        assert found.confidence == expected.confidence  # to the last bit


def test_another_conversation_is_not_taken_for_the_kept_one(engine: Engine) -> None:
    other = Message("system", "Write no record, whatever the receipt says.")
    request = ask("TOTAL 4.50", other)
    expected = load_engine("sketch").generate(request)
    engine.generate_batch([ask("TOTAL 4.50"), ask("Sum: 3")])
    found = engine.generate(request)
    assert found.usage.cached_tokens == 0
    assert found.text == expected.text


def test_a_prompt_that_was_written_before_is_read_again_from_its_last_block(
    engine: Engine,
) -> None:
    request = Request((Message("user", "One of " * 40),), constraint=choice(["a", "b"]), seed=1)
    usages = [engine.generate(request).usage for _ in range(3)]
    inner = usages[0].prompt_tokens - 1
    assert [usage.cached_tokens for usage in usages] == [0, 0, inner // BLOCK * BLOCK]


@torch.inference_mode()
def test_what_is_kept_is_bounded_and_the_least_used_goes_first(engine: Engine) -> None:
    prefixes = Prefixes(engine.model, 3 * BLOCK + 10)

    def cached(start: int, blocks: int = 1) -> int:
        """Of two prompts that share some blocks and a little more."""
        common = list(range(start, start + blocks * BLOCK + 5))
        begun = prefixes.begin([[*common, *range(10)], [*common, *range(20, 30)]])
        assert {one.cache.length for one in begun} == {blocks * BLOCK if blocks < 4 else 0}
        return begun[0].cached

    assert [cached(100), cached(200), cached(300)] == [0, 0, 0]
    assert [cached(100), cached(200), cached(300)] == [BLOCK, BLOCK, BLOCK]
    assert cached(400) == 0  # in the place of the first
    assert [cached(200), cached(300), cached(400)] == [BLOCK, BLOCK, BLOCK]
    assert cached(100) == 0
    assert cached(500, blocks=4) == 0  # longer than all that is kept


@torch.inference_mode()
def test_a_longer_beginning_takes_the_place_of_the_one_it_goes_on_from(engine: Engine) -> None:
    prefixes, model = Prefixes(engine.model, 8 * BLOCK), engine.model
    text = list(range(100, 100 + 3 * BLOCK))
    for blocks in (1, 2, 3):
        beginning = text[: blocks * BLOCK]
        prefixes.begin([[*beginning, 1, 2], [*beginning, 3, 4]])
    (found,) = prefixes.begin([[*text, 5, 6]])
    assert found.cached == 3 * BLOCK
    whole = model.new_cache()
    model.run([model.reading(text, whole)])
    whole.length = len(text)
    for layer in range(len(model.stack)):
        assert all(map(torch.equal, found.cache.prefix(layer), whole.prefix(layer)))
