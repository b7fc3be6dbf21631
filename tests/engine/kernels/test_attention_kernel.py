"""Canvases that read their texts where they are, beside a softmax over everything that each sees.
Without a GPU the kernel is interpreted (`tests/conftest.py`)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton", reason="Triton is not installed")

from gesso.engine.kernels.attention import attended, table_row

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def plainly(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One canvas, q [L, H, K], k and v [L, G, K], keys and values [1, G, T, K]; in float64."""
    share = q.shape[1] // k.shape[1]
    all_keys = torch.cat([keys[0].transpose(0, 1), k]).double().repeat_interleave(share, 1)
    all_values = torch.cat([values[0].transpose(0, 1), v]).double().repeat_interleave(share, 1)
    scores = torch.einsum("lhk,thk->lht", q.double(), all_keys)
    return torch.einsum("lht,thk->lhk", scores.softmax(-1), all_values)


@settings(max_examples=8, deadline=None)
@given(
    texts=st.lists(st.sampled_from([0, 1, 33, 150]), min_size=1, max_size=2),
    length=st.integers(1, 40),
    groups=st.integers(1, 2),
    share=st.sampled_from([1, 2, 3]),
    width=st.sampled_from([16, 24, 64]),
    seed=st.integers(0, 99),
)
def test_a_canvas_sees_its_text_and_itself(
    texts: list[int], length: int, groups: int, share: int, width: int, seed: int
) -> None:
    torch.manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, device=DEVICE)

    q, k, v = (
        normal(len(texts), length, heads, width) for heads in (groups * share, groups, groups)
    )
    # each text has room behind it and tokens before it that the canvas does not see
    stored = [
        (normal(1, groups, 7 + text, width), normal(1, groups, 9 + text, width)) for text in texts
    ]
    seen = [
        (keys[:, :, 4 : 4 + text], values[:, :, 3 : 3 + text])
        for (keys, values), text in zip(stored, texts, strict=True)
    ]
    table = torch.tensor([table_row(*one) for one in seen], device=DEVICE)
    found = attended(q, k, v, table)
    for row, (keys, values) in enumerate(seen):
        expected = plainly(q[row], k[row], v[row], keys, values)
        torch.testing.assert_close(found[row].double(), expected, atol=2e-5, rtol=2e-5)


def test_a_canvas_comes_out_to_the_bit_the_same_whoever_its_neighbours_are() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 20, heads, 16, device=DEVICE).bfloat16() for heads in (4, 2, 2))
    texts = [torch.randn(2, 1, 2, 90, 16, device=DEVICE).bfloat16() for _ in range(2)]
    rows = [table_row(*text) for text in texts]
    together = attended(q, k, v, torch.tensor(rows, device=DEVICE))
    for row in range(2):
        own = slice(row, row + 1)
        alone = attended(q[own], k[own], v[own], torch.tensor(rows[own], device=DEVICE))
        assert torch.equal(alone, together[own])


def test_keys_whose_numbers_lie_apart_are_refused() -> None:
    keys = torch.randn(1, 2, 16, 9).transpose(2, 3)
    with pytest.raises(ValueError, match="the last must be 1"):
        table_row(keys, keys)


def test_a_text_may_lie_token_by_token() -> None:
    torch.manual_seed(1)
    q, k, v = (torch.randn(1, 5, heads, 16, device=DEVICE) for heads in (4, 2, 2))
    keys, values = (torch.randn(1, 40, 2, 16, device=DEVICE).transpose(1, 2) for _ in range(2))
    found = attended(q, k, v, torch.tensor([table_row(keys, values)], device=DEVICE))
    expected = plainly(q[0], k[0], v[0], keys, values)
    torch.testing.assert_close(found[0].double(), expected, atol=2e-5, rtol=2e-5)
