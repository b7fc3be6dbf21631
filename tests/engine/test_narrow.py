"""16 bits on a CPU: products are those of wider numbers, rounded once."""

from __future__ import annotations

import pytest
import torch
from gesso.engine.model import linear


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tokens", [1, 7, 8, 40])
def test_a_product_is_rounded_once(dtype: torch.dtype, tokens: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(tokens, 96).to(dtype), torch.randn(24, 96).to(dtype)
    found, exact = linear(x, weight), x.double() @ weight.double().T
    assert found.dtype == dtype
    assert torch.allclose(found.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-2)


@torch.inference_mode()
def test_a_token_is_to_the_bit_what_it_is_alone() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(9, 96).bfloat16(), torch.randn(24, 96).bfloat16()
    assert torch.equal(linear(x, weight)[4], linear(x[4:5], weight)[0])
