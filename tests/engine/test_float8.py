"""Products in FP8 beside those of what the numbers stand for."""

from __future__ import annotations

import pytest
import torch
from gesso.engine.float8 import Float8, multiplied, multiplies, scaled_rows
from gesso.engine.model import linear

CPU = torch.device("cpu")


def weight(rows: int, columns: int) -> tuple[Float8, torch.Tensor]:
    """One whose rows are of very different sizes, in FP8 and as it was."""
    plain = torch.randn(rows, columns) * torch.logspace(-3, 3, rows)[:, None]
    stored = Float8(plain.shape, CPU)
    stored.whole.fill(plain)
    return stored, plain


def test_a_row_is_rounded_by_its_own_scale() -> None:
    torch.manual_seed(0)
    stored, plain = weight(32, 64)
    error = (stored.dense(torch.float32) - plain).abs().amax(1) / plain.abs().amax(1)
    assert error.max() < 2**-4  # three bits of mantissa


def test_values_of_another_are_taken_as_they_are() -> None:
    values = torch.randn(6, 8).to(torch.float8_e4m3fn)
    for scale in (torch.tensor(0.5), torch.rand(6), torch.rand(6, 1)):
        stored = Float8(torch.Size((6, 8)), CPU)
        stored.whole.take(values, scale)
        expected = values.float() * scale.reshape(-1, 1)
        assert torch.equal(stored.dense(torch.float32), expected)


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_a_product_in_fp8_is_that_of_what_it_rounds_to(tokens: int) -> None:
    torch.manual_seed(1)
    stored, _ = weight(48, 64)
    x = (torch.randn(2, tokens, 64) * torch.logspace(-2, 2, tokens)[:, None]).bfloat16()
    x[0, 0] = 0.0
    values, scale = scaled_rows(x)
    expected = (values.double() * scale[..., None]) @ stored.dense(torch.float32).double().T
    found = multiplied(x, stored).double()
    assert found.shape == (2, tokens, 48)
    assert (found - expected).norm() / expected.norm() < 1e-2
    assert (found[0, 0] == 0).all()


def test_where_the_device_cannot_it_is_multiplied_as_what_it_stands_for() -> None:
    torch.manual_seed(2)
    stored, _ = weight(48, 64)
    x = torch.randn(9, 64)
    assert not multiplies(x, stored)
    assert torch.equal(linear(x, stored), x @ stored.dense(torch.float32).T)


def test_the_kernel_scales_tokens_as_the_plain_code_does() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    from gesso.engine.kernels import float8

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(3)
    x = (torch.randn(5, 50) * torch.logspace(-4, 4, 5)[:, None]).to(device)
    x[2] = 0.0
    (values, scale), (expected, expected_scale) = float8.scaled_rows(x), scaled_rows(x)
    torch.testing.assert_close(scale, expected_scale)
    close = torch.isclose(values.float(), expected.float(), rtol=2**-3, atol=2**-9).float().mean()
    # the interpreter loses the carry where a number is rounded up to a power of two
    assert close == 1.0 if device.type == "cuda" else close > 0.95
