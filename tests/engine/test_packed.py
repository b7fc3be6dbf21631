"""Weights in 8 bits on a CPU: exact sums of rounded numbers, alike in any company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gesso.engine import Message, Request, Result, choice, json_schema, load_engine
from gesso.engine.checkpoint import SKETCH, load_weights
from gesso.engine.config import read_config
from gesso.engine.model import DiffusionGemma
from gesso.engine.packed import MOST, PackedEmbedding, PackedWeight, Rounded, packs
from gesso.engine.quantized import Quantised
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Shape, save_checkpoint
from torch import Tensor

pytestmark = pytest.mark.skipif(not packs("cpu"), reason="this CPU multiplies no bytes")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rounded(weight: Tensor) -> Quantised:
    codes = Quantised(weight.shape, "int8", "cpu", MOST)
    codes.whole.fill(weight)
    return codes


def by_hand(x: Tensor, weight: Quantised) -> Tensor:
    """Tokens rounded to 8 bits each, by the weight, in double precision."""
    step = x.abs().amax(-1, keepdim=True) * (1 / 127)
    codes = (x * step.reciprocal() + 128.5).floor() - 128
    return codes.double() @ weight.dense(torch.float32).double().T * step


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 90), st.integers(1, 50), st.integers(0, 9))
def test_it_is_the_product_of_rounded_numbers(
    tokens: int, columns: int, rows: int, seed: int
) -> None:
    x, weight = numbers(tokens, columns, seed=seed), rounded(numbers(rows, columns, seed=seed + 1))
    found = PackedWeight(weight.whole).times(x).double()
    assert torch.allclose(found, by_hand(x, weight), rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(0, 9))
def test_a_token_is_to_the_bit_what_it_is_alone(tokens: int, seed: int) -> None:
    weight, x = PackedWeight(rounded(numbers(40, 96)).whole), numbers(tokens, 96, seed=seed)
    first = seed % tokens
    assert torch.equal(weight.times(x)[first], weight.times(x[first : first + 1])[0])


def test_the_largest_numbers_there_are_lose_nothing() -> None:
    """Two products of bytes are added in 16 bits where a CPU has nothing better."""
    for sign in (1, -1):
        weight = PackedWeight(rounded(torch.full((8, 512), 0.5)).whole)
        found = weight.times(torch.full((3, 512), sign * 2.0))
        assert torch.allclose(found, torch.full((3, 8), sign * 512.0), rtol=1e-3)


def test_a_token_of_zeros_gives_zeros() -> None:
    weight = PackedWeight(rounded(numbers(8, 32)).whole)
    assert not weight.times(torch.zeros(2, 32)).any()


def test_each_expert_has_its_own_weight() -> None:
    stacked, x = numbers(3, 24, 64), numbers(5, 64)
    weight = PackedWeight(rounded(stacked).whole)
    assert weight.shape == stacked.shape
    assert len(weight) == 3
    for number, expert in enumerate(stacked):
        alone = PackedWeight(rounded(expert).whole)
        assert torch.equal(weight[number].times(x), alone.times(x))


def test_tokens_visit_each_its_expert_as_they_would_alone() -> None:
    weight, x = PackedWeight(rounded(numbers(4, 24, 64)).whole), numbers(5, 64)
    rows, counts = torch.tensor([4, 0, 0, 2, 3, 1]), [2, 0, 3, 1]
    found = weight.each(Rounded.of(x).picked(rows), counts)
    experts = [expert for expert, count in enumerate(counts) for _ in range(count)]
    for place, (row, expert) in enumerate(zip(rows.tolist(), experts, strict=True)):
        assert torch.equal(found[place], weight[expert].times(x[row : row + 1])[0])


@pytest.mark.parametrize("vocabulary", [300, 2500, 140_000])
def test_expected_embeddings_are_nearly_those_of_the_probabilities(vocabulary: int) -> None:
    weight = numbers(vocabulary, 16)
    for spread in (0.5, 8.0):
        shares = (numbers(6, vocabulary, seed=1) * spread).softmax(-1)
        exact = shares @ weight
        found = PackedEmbedding(weight).expected(shares)
        assert float((found - exact).norm() / exact.norm()) < 0.06
        assert torch.equal(found[2:3], PackedEmbedding(weight).expected(shares[2:3]))


def checkpoint(folder: Path, quantize: Any = None) -> DiffusionGemma:
    config = read_config(folder / "config.json")
    return load_weights(folder, config, torch.float32, quantize=quantize)


@torch.inference_mode()
def test_a_packed_model_is_nearly_what_it_was() -> None:
    plain, packed = checkpoint(SKETCH), checkpoint(SKETCH, "int8")
    tokens, canvas = torch.arange(100, 140)[None], torch.arange(200, 260)[None]
    logits = []
    for model in (plain, packed):
        cache = model.new_cache()
        model.encode(tokens, cache)
        first = model.denoise(canvas, cache)
        soft = model.soften(first[0].softmax(-1))[None]
        logits.append(model.denoise(canvas, cache, soft))
    exact, found = logits
    assert float((found - exact).norm() / exact.norm()) < 0.1
    assert float((found.argmax(-1) == exact.argmax(-1)).float().mean()) > 0.9


def test_other_weights_have_another_digest(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "other")):
        (tmp_path / name).mkdir()
        save_checkpoint(tmp_path / name, Shape("tiny", layers="s"), seed)
    one, other = (load_engine(tmp_path / name, quantize="int8") for name in ("one", "other"))
    assert one.digest != other.digest
    assert one.digest == load_engine(tmp_path / "one", quantize="int8").digest
    assert one.digest != load_engine(tmp_path / "one").digest


def test_a_packed_engine_writes_turns_alone_as_in_company(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="sf"))
    engine = load_engine(tmp_path, quantize="int8")
    record = json_schema({"type": "object", "properties": {"total": {"type": "number"}}})
    asked = [("a", record), ("b c " * 30, None), ("?", choice(["a", "b c"])), ("d", record)]
    requests = [
        Request([Message("user", text)], constraint=constraint, seed=number, max_tokens=40)
        for number, (text, constraint) in enumerate(asked)
    ]
    alone = [engine.generate(request) for request in requests]
    for one, other in zip(alone, engine.generate_batch(requests), strict=True):
        assert isinstance(other, Result)
        assert other.text == one.text
        assert other.confidence == one.confidence  # to the last bit
