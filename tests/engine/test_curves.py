"""The soft cap and the gate: as exact as torch's own, and alike wherever a number stands."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gesso.engine.curves import capped, gated
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

CAP = 30.0


def cap(raw: Tensor) -> Tensor:
    return capped(raw.clone(), CAP, torch.empty_like(raw))


def numbers(*shape: int, spread: float = 4.0, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


def test_the_gate_is_the_approximated_gelu_times_the_other_half() -> None:
    both = numbers(40, 2 * 48)
    gate, up = both.double().chunk(2, dim=-1)
    exact = F.gelu(gate, approximate="tanh") * up
    assert torch.allclose(gated(both).double(), exact, rtol=1e-5, atol=1e-5)


def test_the_cap_is_a_hyperbolic_tangent() -> None:
    raw = numbers(40, 300, spread=40)
    exact = (raw.double() / CAP).tanh() * CAP
    assert float((cap(raw) - exact).abs().max()) < 1e-5


@pytest.mark.parametrize("size", [1e4, 1e10, 3e38])
def test_no_number_is_too_large(size: float) -> None:
    both = torch.tensor([[size, -size, 1.0, 1.0]])
    assert gated(both).tolist() == [[F.gelu(torch.tensor(size)).item(), 0.0]]
    assert cap(torch.tensor([size, -size])).tolist() == [CAP, -CAP]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_a_token_is_to_the_bit_what_it_is_alone(tokens: int, width: int, seed: int) -> None:
    both = numbers(tokens, 2 * width, seed=seed)
    alone = torch.cat([gated(token[None]) for token in both])
    assert torch.equal(gated(both), alone)
    assert torch.equal(cap(both), torch.cat([cap(token[None]) for token in both]))


def test_in_training_both_can_be_differentiated() -> None:
    both = numbers(3, 8).requires_grad_()
    gated(both).sum().backward()
    assert both.grad is not None
    assert bool(both.grad.abs().sum() > 0)
