"""One pass over a head's outputs, beside float64 tables. Without a GPU the kernels are interpreted
(`tests/conftest.py`)."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton", reason="Triton is not installed")

from gesso.engine.kernels.scores import Scores

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPES = [torch.float32, torch.bfloat16]


def logits(raw: Tensor, cap: float, temperature: float) -> Tensor:
    """The table [N, V] in float64."""
    table = raw.double().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    if cap:
        table = cap * torch.tanh(table / cap)
    return table / temperature


def drawn(rows: int, width: int, spread: float, dtype: torch.dtype, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return (torch.randn(rows, width) * spread).to(DEVICE, dtype)


cases = given(
    rows=st.integers(1, 4),
    width=st.integers(1, 13_000),
    spread=st.sampled_from([0.01, 1.0, 40.0, 3000.0]),
    dtype=st.sampled_from(DTYPES),
    cap=st.sampled_from([0.0, 30.0]),
    temperature=st.sampled_from([0.4, 1.0]),
    seed=st.integers(0, 99),
)


@settings(max_examples=25, deadline=None)
@cases
def test_log_sum_entropy_and_best_token_are_the_tables(
    rows: int, width: int, spread: float, dtype: torch.dtype, cap: float, temperature: float, seed
) -> None:
    raw = drawn(rows, width, spread, dtype, seed)
    found, table = Scores.of(raw, cap, temperature), logits(raw, cap, temperature)
    size = float(table.abs().max())
    close = partial(torch.testing.assert_close, atol=2e-5 + 2e-6 * size, rtol=0.0)
    close(found.normaliser.double(), table.logsumexp(1))
    logp = table.log_softmax(1)
    entropy = -(logp.exp() * logp.clamp(min=-1e30)).sum(1)
    close(found.entropy.double(), entropy)
    best = table.gather(1, found.best[:, None])[:, 0]
    close(best, table.amax(1))
    close(found.float().double(), logp)
    some = torch.randint(width, (rows, 3), device=DEVICE)
    close(found.gather(1, some).double(), logp.gather(1, some))
    same = some[0]
    of_same = found.index_select(1, same).double()
    close(of_same, logp.index_select(1, same))


@settings(max_examples=25, deadline=None)
@cases
def test_a_token_is_drawn_where_the_cumulative_distribution_reaches_its_number(
    rows: int, width: int, spread: float, dtype: torch.dtype, cap: float, temperature: float, seed
) -> None:
    raw = drawn(rows, width, spread, dtype, seed)
    uniforms = torch.rand(rows, device=DEVICE)
    tokens = Scores.of(raw, cap, temperature).drawn(uniforms)
    chances = logits(raw, cap, temperature).softmax(1)
    reached = chances.cumsum(1).gather(1, tokens[:, None])[:, 0]
    own = chances.gather(1, tokens[:, None])[:, 0]
    assert (own > 0).all()
    assert (uniforms < reached + 1e-5).all()
    assert (uniforms > reached - own - 1e-5).all()


def test_the_last_number_below_one_draws_a_possible_token() -> None:
    raw = torch.full((1, 9000), -torch.inf, device=DEVICE)
    raw[0, 5000] = 1.0
    for number in (0.0, 0.5, 1 - 2**-24):
        uniform = torch.tensor([number], device=DEVICE)
        assert Scores.of(raw, 0.0, 1.0).drawn(uniform).tolist() == [5000]


def test_what_is_no_number_or_infinitely_little_is_impossible() -> None:
    raw = torch.tensor([[1.0, torch.nan, -torch.inf, 2.0]], device=DEVICE)
    found = Scores.of(raw, 0.0, 1.0)
    expected = torch.tensor([1.0, -torch.inf, -torch.inf, 2.0], device=DEVICE).log_softmax(0)
    torch.testing.assert_close(found.float()[0], expected)
    assert found.best.tolist() == [3]
    assert Scores.of(raw[:, 1:3], 0.0, 1.0).entropy.tolist() == [torch.inf]
    kept = expected[[0, 3]]
    torch.testing.assert_close(found.entropy[0], -(kept.exp() * kept).sum())


def test_an_infinite_output_is_at_the_cap() -> None:
    raw = torch.tensor([[torch.inf, 30.0, -torch.inf]], device=DEVICE)
    expected = logits(raw, 30.0, 0.5).log_softmax(1).float()
    torch.testing.assert_close(Scores.of(raw, 30.0, 0.5).float(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_read_and_drawn_to_the_bit_as_if_alone(dtype: torch.dtype) -> None:
    raw, uniforms = drawn(3, 10_000, 5.0, dtype, 0), torch.rand(3, device=DEVICE)
    together = Scores.of(raw, 30.0, 0.7)
    for row in range(3):
        alone = Scores.of(raw[row : row + 1], 30.0, 0.7)
        assert torch.equal(alone.entropy, together.entropy[row : row + 1])
        assert torch.equal(alone.normaliser, together.normaliser[row : row + 1])
        own = uniforms[row : row + 1]
        assert torch.equal(alone.drawn(own), together.drawn(uniforms)[row : row + 1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_soft_embeddings_are_the_expected_ones(dtype: torch.dtype) -> None:
    raw = drawn(5, 9001, 4.0, dtype, 1)
    embeddings = torch.randn(9001, 24, device=DEVICE).to(dtype)
    found = (Scores.of(raw, 30.0, 0.6).probabilities @ embeddings).double()
    expected = logits(raw, 30.0, 0.6).softmax(1) @ embeddings.double()
    assert (found - expected).norm() / expected.norm() < (1e-5 if dtype.itemsize == 4 else 1e-2)


def test_some_rows_are_those_of_the_whole() -> None:
    raw = drawn(4, 700, 2.0, torch.bfloat16, 2)
    whole, some = Scores.of(raw, 30.0, 1.0), slice(1, 3)
    assert torch.equal(whole[some].float(), Scores.of(raw[some], 30.0, 1.0).float())
    assert torch.equal(whole[some].argmax(), whole.best[some])
    tokens = torch.tensor([5, 699], device=DEVICE)
    expected = whole.float()[some].gather(1, tokens[:, None])[:, 0].exp()
    torch.testing.assert_close(whole.sure(some, tokens), expected)


def test_only_what_is_accepted_is_drawn() -> None:
    found = Scores.of(drawn(3, 500, 1.0, torch.float32, 3), 30.0, 1.0)
    accepted = torch.tensor([True, False, True], device=DEVICE)
    uniforms, fresh = torch.rand(3, device=DEVICE), torch.tensor([1, 2, 3], device=DEVICE)
    expected = found.drawn(uniforms)
    expected[1] = 2
    assert torch.equal(found.renewed(accepted, uniforms, fresh), expected)


@settings(max_examples=20, deadline=None)
@given(
    width=st.integers(1, 9000), classes=st.integers(1, 6), share=st.floats(0, 1), seed=st.integers()
)
def test_a_class_weighs_what_its_tokens_do(
    width: int, classes: int, share: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed % 2**32)
    raw = (torch.randn(3, width, generator=generator) * 5).to(DEVICE, torch.bfloat16)
    token_class = torch.randint(classes, (width,), generator=generator).to(DEVICE)
    token_class[: int(share * width)] = 0  # most are of one class
    chosen = torch.randint(classes, (3,), generator=generator).to(DEVICE)
    best, total, token = Scores.of(raw, 30.0, 0.8).of_class(token_class, chosen)
    logp = logits(raw, 30.0, 0.8).log_softmax(1)
    table = logp.masked_fill(token_class != chosen[:, None], -torch.inf)
    torch.testing.assert_close(best.double(), table.amax(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(total.double(), table.logsumexp(1), atol=1e-4, rtol=0)
    there = table.amax(1).isfinite()
    own = table.gather(1, token[:, None])[:, 0]
    torch.testing.assert_close(own[there], table.amax(1)[there], atol=1e-4, rtol=0)
