"""Activations in FP8, each token with its own scale: one pass over them."""

# what a kernel's body means is Triton's to say, and not every machine has Triton
# pyright: reportArgumentType=false, reportCallIssue=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..float8 import LARGEST, TINY

_LARGEST = tl.constexpr(LARGEST)
_TINY = tl.constexpr(TINY)


def scaled_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [N, C] as values in E4M3 and a scale [N] in float32 for each, as
    `gesso.engine.float8.scaled_rows` finds them."""
    rows, columns = x.shape
    values = torch.empty(x.shape, dtype=torch.float8_e4m3fn, device=x.device)
    scale = x.new_empty(rows, dtype=torch.float32)
    block = triton.next_power_of_2(columns)
    _scale[(rows,)](x.contiguous(), values, scale, columns, BLOCK=block)
    return values, scale


@triton.jit
def _scale(
    x,  # [N, C]
    values,  # [N, C]
    scale,  # [N]
    columns,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    there = column < columns
    wide = tl.load(x + row * columns + column, mask=there, other=0.0).to(tl.float32)
    own = tl.maximum(tl.max(tl.abs(wide)) / _LARGEST, _TINY)
    tl.store(scale + row, own)
    tl.store(values + row * columns + column, (wide / own).to(values.dtype.element_ty), mask=there)
