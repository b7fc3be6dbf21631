"""All experts in one launch, beside a loop over tokens. Without a GPU the kernels are interpreted
(`tests/conftest.py`)."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from gesso.engine.float8 import Float8
from gesso.engine.quantized import Quantised
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton", reason="Triton is not installed")

from gesso.engine.kernels.experts import multiplied, routes, visited

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Stored = Literal["plain", "fp8", "int8", "int4"]
# the interpreter cuts a number off where a GPU rounds it to bfloat16
ROUNDING = 1e-2 if DEVICE.type == "cuda" else 4e-2
FORMATS: tuple[Stored, ...] = ("plain", "fp8", "int8", "int4")


def stored(weight: Tensor, how: Stored) -> tuple[Tensor | Float8 | Quantised, Tensor]:
    """A weight in a format, and what it stands for there."""
    if how == "plain":
        return weight, weight
    module = Float8(weight.shape, DEVICE) if how == "fp8" else Quantised(weight.shape, how, DEVICE)
    module.whole.fill(weight)
    return module, module.dense(weight.dtype)


def one_by_one(
    x: Tensor, weights: Tensor, experts: Tensor, gate_up: Tensor, down: Tensor
) -> Tensor:
    """Each token's experts, one after the other, in float64."""
    found = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    for token, row in enumerate(x.double()):
        for weight, expert in zip(weights[token].tolist(), experts[token].tolist(), strict=True):
            gate, up = (gate_up[expert].double() @ row).chunk(2)
            inner = F.gelu(gate, approximate="tanh") * up
            found[token] += weight * (down[expert].double() @ inner)
    return found


def drawn(tokens: int, experts: int, top_k: int, hidden: int, width: int, dtype: torch.dtype):
    """Tokens, shares, choices and the two weights; some experts are chosen by nobody."""
    x = torch.randn(tokens, hidden, device=DEVICE).to(dtype)
    shares = torch.rand(tokens, top_k, device=DEVICE)
    odds = torch.rand(tokens, experts, device=DEVICE) + torch.randn(experts, device=DEVICE)
    chosen = odds.topk(top_k, dim=-1).indices
    gate_up = (torch.randn(experts, 2 * width, hidden, device=DEVICE) / hidden**0.5).to(dtype)
    down = (torch.randn(experts, hidden, width, device=DEVICE) / width**0.5).to(dtype)
    return x, shares, chosen, gate_up, down


@settings(max_examples=15, deadline=None)
@given(tokens=st.integers(1, 700), experts=st.integers(1, 20), top_k=st.integers(1, 4))
def test_rows_are_sorted_by_expert_and_keep_their_order(
    tokens: int, experts: int, top_k: int
) -> None:
    chosen = torch.randint(experts, (tokens, top_k), device=DEVICE)
    found = routes(chosen, experts)
    assert torch.equal(found.order.long(), chosen.flatten().argsort(stable=True))
    counts = torch.bincount(chosen.flatten(), minlength=experts)
    assert torch.equal(found.ends.long(), counts.cumsum(0))


@settings(max_examples=10, deadline=None)
@given(
    tokens=st.integers(1, 50),
    experts=st.integers(4, 9),
    top_k=st.integers(1, 4),
    hidden=st.sampled_from([16, 48, 130]),
    width=st.sampled_from([2, 24, 70]),
    how=st.sampled_from(FORMATS),
    seed=st.integers(0, 9),
)
def test_every_token_gets_what_its_experts_make_of_it(
    tokens: int, experts: int, top_k: int, hidden: int, width: int, how: Stored, seed: int
) -> None:
    torch.manual_seed(seed)
    x, shares, chosen, gate_up, down = drawn(tokens, experts, top_k, hidden, width, torch.float32)
    (gate_up, whole_gate_up), (down, whole_down) = stored(gate_up, how), stored(down, how)
    found = visited(x, shares, chosen, gate_up, down)
    expected = one_by_one(x, shares, chosen, whole_gate_up, whole_down)
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("how", FORMATS)
def test_in_bfloat16_it_rounds_no_more_than_a_step_of_bfloat16(how: Stored) -> None:
    torch.manual_seed(1)
    x, shares, chosen, gate_up, down = drawn(60, 6, 3, 128, 64, torch.bfloat16)
    (gate_up, whole_gate_up), (down, whole_down) = stored(gate_up, how), stored(down, how)
    found = visited(x, shares, chosen, gate_up, down).double()
    expected = one_by_one(x, shares, chosen, whole_gate_up, whole_down)
    assert (found - expected).norm() / expected.norm() < ROUNDING


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torchs_grouped_product_makes_the_same_of_them(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    x, shares, chosen, gate_up, down = drawn(50, 7, 2, 64, 32, dtype)
    found = multiplied(x, shares, chosen, gate_up, down).double()
    expected = one_by_one(x, shares, chosen, gate_up, down)
    assert (found - expected).norm() / expected.norm() < (1e-6 if dtype.itemsize == 4 else 1e-2)


def test_a_token_comes_out_to_the_bit_the_same_whoever_its_neighbours_are() -> None:
    torch.manual_seed(3)
    x, shares, chosen, gate_up, down = drawn(64, 5, 2, 48, 24, torch.bfloat16)
    alone = visited(x, shares, chosen, gate_up, down)
    others, their_shares, theirs, *_ = drawn(64, 5, 2, 48, 24, torch.bfloat16)
    for rows in (slice(0, 20), slice(30, 64)):
        x[rows], shares[rows], chosen[rows] = others[rows], their_shares[rows], theirs[rows]
    assert torch.equal(visited(x, shares, chosen, gate_up, down)[20:30], alone[20:30])
