"""Beginnings that prompts share are encoded once, and change nothing but the time it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from gesso.engine import (
    Engine,
    Message,
    Request,
    Result,
    Usage,
    choice,
    json_schema,
    load_engine,
    turn,
    views,
)
from gesso.engine.cache import KVCache
from gesso.engine.checkpoint import load_weights
from gesso.engine.config import read_config
from gesso.engine.model import DiffusionGemma
from gesso.engine.prefixes import Beginning, Prefixes, Slots
from gesso.engine.views import BLOCK
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Shape, save_checkpoint

SCHEMA = {"type": "object", "properties": {"total": {"type": "string"}}, "required": ["total"]}
SLIDING = 0
"""The sliding one of a tiny model's two layers."""
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


def test_a_turn_takes_up_what_any_turn_before_it_began_with(engine: Engine) -> None:
    other = Message("system", "Write no record, whatever the receipt says. " * 8)
    requests = [ask("TOTAL 4.50"), ask("Sum: 3", other), ask("CASH 9.00"), ask("Due: 1", other)]
    cached = [engine.generate(request).usage.cached_tokens for request in requests]
    mine, theirs = shared(engine, *requests[::2]), shared(engine, *requests[1::2])
    assert cached == [0, 0, mine, theirs]


def test_an_agents_tenth_turn_reads_only_what_is_new(engine: Engine) -> None:
    messages = [SYSTEM]
    fresh = list[int]()
    usage = Usage()
    for number in range(10):
        messages.append(Message("user", f"Receipt {number}: TOTAL {number}.50, paid in cash"))
        request = Request(messages, constraint=json_schema(SCHEMA), seed=1, max_tokens=60)
        result = engine.generate(request)
        usage = result.usage
        fresh.append(usage.prompt_tokens - usage.cached_tokens)
        messages.append(Message("assistant", result.text))
    assert max(fresh[1:]) < 3 * BLOCK
    assert usage.prompt_tokens > 6 * BLOCK


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
    kept = inner // BLOCK * BLOCK
    assert [usage.cached_tokens for usage in usages] == [0, kept, kept]


def fresh_cache(model: DiffusionGemma, text: Sequence[int]) -> KVCache:
    """What a text is read as, in one go."""
    cache = model.new_cache()
    if text:
        model.run([model.reading(text, cache)])
        cache.length = len(text)
    return cache


def read(prefixes: Prefixes, model: DiffusionGemma, prompt: Sequence[int]) -> Beginning:
    """What a turn does with a prompt: read what is not kept, and have it kept."""
    (begun,) = prefixes.begin([prompt])
    cached = begun.cache.length
    rest = prompt[cached:]
    model.run([model.reading(rest, begun.cache)])
    begun.cache.length += len(rest)
    prefixes.keep(prompt, begun.cache)
    begun.cache.trim()
    return replace(begun, cached=cached)


@torch.inference_mode()
def test_what_is_kept_is_bounded_and_the_least_used_goes_first(engine: Engine) -> None:
    model = engine.model
    assert isinstance(model, DiffusionGemma)
    prefixes = Prefixes(model, Slots(3, 3))

    def cached(start: int, blocks: int = 1) -> int:
        text = [*range(start, start + blocks * BLOCK), 1]
        return read(prefixes, model, text).cached

    assert [cached(100), cached(200), cached(300)] == [0, 0, 0]
    assert [cached(100), cached(200), cached(300)] == [BLOCK, BLOCK, BLOCK]
    assert cached(400) == 0  # in the place of the first
    assert [cached(200), cached(300), cached(400)] == [BLOCK, BLOCK, BLOCK]
    assert cached(100) == 0
    assert cached(500, blocks=4) == 0  # longer than all that is kept: its beginning is
    assert cached(500, blocks=4) == 3 * BLOCK


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 1), max_size=4), st.integers(1, BLOCK)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 5),
    st.integers(0, 5),
    st.sampled_from([1, 30, 65, 150]),
)
def test_whatever_was_kept_before_a_text_is_read_as_in_one_go(
    drawn: list[tuple[list[int], int]], most: int, windows: int, window: int
) -> None:
    """Texts of blocks of two kinds, and an end: what is taken up is a beginning that is kept, to
    the last bit, and no more is kept than there is room for."""
    model, kept = tiny(window), dict[tuple[int, ...], None]()
    with torch.inference_mode():
        prefixes = Prefixes(model, Slots(most, windows))
        for kinds, end in drawn:
            blocks = [[kind * 100 + place for place in range(BLOCK)] for kind in kinds]
            text = [token for block in blocks for token in block] + [7] * end
            begun = read(prefixes, model, text)
            assert begun.cached % BLOCK == 0
            assert begun.cached <= max(0, len(text) - 1)
            if begun.cached:
                assert tuple(text[: begun.cached]) in kept
            whole = fresh_cache(model, text)
            for layer in range(model.config.num_hidden_layers):
                keys, values = begun.cache.prefix(layer)
                first = len(text) - keys.shape[2]
                assert first == (max(0, len(text) - window + 1) if layer == SLIDING else 0)
                expected = whole.part(layer, first, len(text))
                assert torch.equal(keys, expected.keys)
                assert torch.equal(values, expected.values)
            for end_of in range(BLOCK, len(text), BLOCK):
                kept[tuple(text[:end_of])] = None
            assert len(list(prefixes)) <= most


@cache
def tiny(window: int) -> DiffusionGemma:
    with TemporaryDirectory() as place:
        save_checkpoint(Path(place), Shape("tiny", layers="sf"))
        config = read_config(Path(place) / "config.json")
        text = config.text_config.model_copy(update={"sliding_window": window})
        narrow = config.model_copy(update={"text_config": text})
        return load_weights(Path(place), narrow, torch.float32)


@torch.inference_mode()
def test_a_text_goes_on_where_the_sliding_layers_still_have_what_their_window_shows() -> None:
    model = tiny(window=65)  # of which the block before is seen
    prefixes = Prefixes(model, Slots(8, 2))

    def cached(kinds: Sequence[int]) -> int:
        text = [kind * 100 + place for kind in kinds for place in range(BLOCK)]
        return read(prefixes, model, [*text, 7]).cached // BLOCK

    assert cached([0, 0, 0]) == 0  # the last two have theirs
    assert cached([0, 0, 1]) == 2
    assert cached([0, 1]) == 0  # the first block is there, but not its window: read and given one
    assert cached([0, 1]) == 2


def test_a_long_prompt_is_read_in_parts_and_answered_as_in_one_go(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask("Coffee 1.50 Tea 2.25 " * 20 + "TOTAL 75.00")
    expected = load_engine("sketch").generate(request)
    monkeypatch.setattr(turn, "MOST_READ", 2 * BLOCK)
    found = engine.generate(request)
    assert found.usage.prompt_tokens > 4 * BLOCK
    assert (found.text, found.confidence) == (expected.text, expected.confidence)
    again = engine.generate(request)
    assert again.usage.cached_tokens == (found.usage.prompt_tokens - 1) // BLOCK * BLOCK
    assert (again.text, again.confidence) == (expected.text, expected.confidence)


@torch.inference_mode()
def test_larger_blocks_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(window=65)
    text = [(7 * place) % 500 + 10 for place in range(5 * BLOCK + 9)]
    small = model.run([model.reading(text, model.new_cache())])[0]
    monkeypatch.setattr(views, "BLOCK", views.LAUNCHED)
    (large,) = model.run([model.reading(text, model.new_cache())])
    assert torch.allclose(small, large, atol=1e-5)
