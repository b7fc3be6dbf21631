"""Routed experts: every expert's rows in one launch, whatever their number.

A program has one expert and some of its outputs, and goes through the rows that chose it: the
weights, which are most of a model and all that limits a step of one canvas, are read once. How many
rows that is stands in a tensor on the device and nobody waits for it. The second product leaves the
rows of one token apart, and they are added up in the router's order.

Weights are plain, in FP8 with a scale a row (`float8.py`), or codes of 8 or 4 bits
(`quantized.py`): what is not plain is spread out in registers and multiplied as what it stands for.

Letters in shapes: N tokens, A = N * top_k rows, E experts, D hidden, W width of an expert.
"""

# what a kernel's body means is Triton's to say, and not every machine has Triton
# pyright: reportArgumentType=false, reportCallIssue=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from ..float8 import Float8
from ..quantized import Quantised
from .product import product

_ROUTED = 1024  # rows that a program of `_route` reads at a time
_OUTPUTS = 64
_INPUTS = 64


@dataclass(frozen=True, eq=False)
class Routes:
    """Rows sorted by expert: `order` [A] has each one's place in the router's order, `ends` [E]
    where the rows of each expert end. Both int32."""

    order: Tensor
    ends: Tensor


def routes(experts: Tensor, count: int) -> Routes:
    """The rows of experts' numbers [N, top_k], those of one expert in the router's order."""
    chosen = experts.flatten().int()
    order = torch.empty_like(chosen)
    ends = torch.empty(count, dtype=torch.int32, device=experts.device)
    _route[(count,)](chosen, order, ends, len(chosen), BLOCK=_ROUTED)
    return Routes(order, ends)


def routed(
    x: Tensor,
    weights: Tensor,
    experts: Tensor,
    gate_up: Tensor | Float8 | Quantised,
    down: Tensor | Float8 | Quantised,
) -> Tensor:
    """What the chosen experts [N, top_k] make of x [N, D], by their weights [N, top_k]: [N, D].

    `gate_up` is [E, 2 W, D] and `down` [E, D, W].
    """
    plain = isinstance(gate_up, Tensor) and isinstance(down, Tensor)
    if plain and _multiplies_groups(x):
        return multiplied(x, weights, experts, gate_up, down)
    return visited(x, weights, experts, gate_up, down)


def visited(
    x: Tensor,
    weights: Tensor,
    experts: Tensor,
    gate_up: Tensor | Float8 | Quantised,
    down: Tensor | Float8 | Quantised,
) -> Tensor:
    """The same by the kernels of this file, of any weights."""
    tokens, hidden = x.shape
    count, both, _ = gate_up.shape
    width, top_k = both // 2, experts.shape[1]
    found = routes(experts, count)
    rows = tokens * top_k
    # twice the rows that an expert has on the average: few have more, and go round again
    block = min(64, max(16, triton.next_power_of_2(2 * rows // count)))
    inner = x.new_empty(rows, width)
    _gate_up[(triton.cdiv(width, _OUTPUTS), count)](
        x.contiguous(),
        *_parts(gate_up),
        found.order,
        found.ends,
        inner,
        hidden,
        width,
        TOP_K=top_k,
        GROUP=_group(gate_up),
        FORMAT=_format(gate_up),
        ROWS=block,
        OUTPUTS=_OUTPUTS,
        INPUTS=_INPUTS,
        num_stages=4,
    )
    apart = x.new_empty(rows, hidden)
    _down[(triton.cdiv(hidden, _OUTPUTS), count)](
        inner,
        *_parts(down),
        found.order,
        found.ends,
        weights.to(x.dtype).contiguous(),
        apart,
        width,
        hidden,
        GROUP=_group(down),
        FORMAT=_format(down),
        ROWS=block,
        OUTPUTS=_OUTPUTS,
        INPUTS=_INPUTS,
        num_stages=4,
    )
    return apart.view(tokens, top_k, hidden).sum(1)


def _multiplies_groups(x: Tensor) -> bool:
    """Whether torch has a grouped product for x's dtype that does not wait for the device: in bf16,
    on Hopper and Blackwell (elsewhere it loops over the experts)."""
    if x.dtype != torch.bfloat16 or x.device.type != "cuda" or not hasattr(F, "grouped_mm"):
        return False
    return torch.cuda.get_device_capability(x.device)[0] in (9, 10)


def multiplied(
    x: Tensor, weights: Tensor, experts: Tensor, gate_up: Tensor, down: Tensor
) -> Tensor:
    """The same by torch's grouped product, of plain weights."""
    top_k = experts.shape[1]
    found = routes(experts, len(gate_up))
    gathered = x[found.order // top_k]
    both = F.grouped_mm(gathered, gate_up.transpose(1, 2), offs=found.ends)
    gate, up = both.chunk(2, dim=-1)
    inner = F.gelu(gate, approximate="tanh") * up
    outputs = F.grouped_mm(inner, down.transpose(1, 2), offs=found.ends)
    apart = torch.empty_like(outputs).index_copy_(0, found.order.long(), outputs)
    return (apart.view(len(x), top_k, -1) * weights.to(x.dtype)[..., None]).sum(1)


def _parts(weight: Tensor | Float8 | Quantised) -> tuple[Tensor, Tensor, Tensor]:
    """Values or codes, scales, and least values; where there are none, something that is not
    read."""
    if isinstance(weight, Tensor):
        return weight, weight, weight
    if isinstance(weight, Float8):
        return weight.values, weight.scale, weight.scale
    least = weight.scale if weight.least is None else weight.least
    return weight.codes, weight.scale, least


def _format(weight: Tensor | Float8 | Quantised) -> str:
    if isinstance(weight, Tensor):
        return "plain"
    if isinstance(weight, Float8):
        return "fp8"
    return "int8" if weight.least is None else "int4"


def _group(weight: Tensor | Float8 | Quantised) -> int:
    return weight.group if isinstance(weight, Quantised) else 1


@triton.jit
def _route(
    chosen,  # [A]
    order,  # [A]
    ends,  # [E]
    rows,
    BLOCK: tl.constexpr,
):
    expert = tl.program_id(0)
    start = 0
    for first in range(0, rows, BLOCK):
        row = first + tl.arange(0, BLOCK)
        one = tl.load(chosen + row, mask=row < rows, other=2147483647)
        start += tl.sum((one < expert).to(tl.int32))
    for first in range(0, rows, BLOCK):
        row = first + tl.arange(0, BLOCK)
        one = tl.load(chosen + row, mask=row < rows, other=2147483647)
        own = (one == expert).to(tl.int32)
        place = start + tl.cumsum(own) - own
        tl.store(order + place, row, mask=own > 0)
        start += tl.sum(own)
    tl.store(ends + expert, start)


@triton.jit
def _spread(
    weight,  # of one expert, [R, C]
    scale,
    least,
    row,  # [OUTPUTS]
    column,  # [INPUTS]
    rows,
    columns,
    KIND: tl.constexpr,
    GROUP: tl.constexpr,
    FORMAT: tl.constexpr,
):
    """A tile [INPUTS, OUTPUTS] of a weight, transposed, in the dtype that it is multiplied in; FP8
    without its scales."""
    there = (row < rows)[None, :] & (column < columns)[:, None]
    at = row[None, :] * columns + column[:, None]
    groups = columns // GROUP
    of_group = row[None, :] * groups + (column // GROUP)[:, None]
    if FORMAT == "int8":
        codes = tl.load(weight + at, mask=there, other=0).to(tl.float32)
        tile = codes * tl.load(scale + of_group, mask=there, other=0.0).to(tl.float32)
    elif FORMAT == "int4":
        packed = row[None, :] * (columns // 2) + (column // 2)[:, None]
        codes = tl.load(weight + packed, mask=there, other=0).to(tl.int32)
        codes = (codes >> (4 * (column % 2))[:, None]) & 0x0F
        tile = codes.to(tl.float32) * tl.load(scale + of_group, mask=there, other=0.0).to(
            tl.float32
        )
        tile += tl.load(least + of_group, mask=there, other=0.0).to(tl.float32)
    else:
        tile = tl.load(weight + at, mask=there, other=0.0)
    return tile.to(KIND)


@triton.jit
def _gate_up(
    x,  # [N, D]
    weight,  # [E, 2 W, D]
    scale,
    least,
    order,  # [A]
    ends,  # [E]
    inner,  # [A, W]
    hidden,
    width,
    TOP_K: tl.constexpr,
    GROUP: tl.constexpr,
    FORMAT: tl.constexpr,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    KIND: tl.constexpr = x.dtype.element_ty
    expert = tl.program_id(1).to(tl.int64)
    begin = tl.load(ends + expert - 1, mask=expert > 0, other=0)
    end = tl.load(ends + expert)
    out = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    inputs = hidden
    if FORMAT == "int4":
        inputs = hidden // 2
    gates = weight + expert * 2 * width * inputs
    ups = gates + width * inputs
    groups = hidden // GROUP
    if FORMAT == "fp8":
        groups = 1
    scales, leasts = scale + expert * 2 * width * groups, least + expert * 2 * width * groups
    of_ups = width * groups
    for first in range(begin, end, ROWS):
        place = first + tl.arange(0, ROWS)
        row = tl.load(order + place, mask=place < end, other=0) // TOP_K
        gate = tl.zeros([ROWS, OUTPUTS], tl.float32)
        up = tl.zeros([ROWS, OUTPUTS], tl.float32)
        for block in range(0, hidden, INPUTS):
            column = block + tl.arange(0, INPUTS)
            there = (place < end)[:, None] & (column < hidden)[None, :]
            at = row.to(tl.int64)[:, None] * hidden + column[None, :]
            tile = tl.load(x + at, mask=there, other=0.0)
            of_gate = _spread(
                gates, scales, leasts, out, column, width, hidden, KIND, GROUP, FORMAT
            )
            of_up = _spread(
                ups,
                scales + of_ups,
                leasts + of_ups,
                out,
                column,
                width,
                hidden,
                KIND,
                GROUP,
                FORMAT,
            )
            gate = product(tile, of_gate, gate)
            up = product(tile, of_up, up)
        if FORMAT == "fp8":
            gate *= tl.load(scales + out, mask=out < width, other=0.0)[None, :]
            up *= tl.load(scales + of_ups + out, mask=out < width, other=0.0)[None, :]
        gate = gate.to(KIND).to(tl.float32)
        # tanh(z) is 2 sigmoid(2 z) - 1, so (1 + tanh(z)) / 2 is sigmoid(2 z)
        z = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate)
        active = (gate * tl.sigmoid(2.0 * z)).to(KIND).to(tl.float32)
        gated = active * up.to(KIND).to(tl.float32)
        at = place.to(tl.int64)[:, None] * width + out[None, :]
        there = (place < end)[:, None] & (out < width)[None, :]
        tl.store(inner + at, gated.to(KIND), mask=there)


@triton.jit
def _down(
    inner,  # [A, W]
    weight,  # [E, D, W]
    scale,
    least,
    order,  # [A]
    ends,  # [E]
    shares,  # [A] in the router's order
    apart,  # [A, D] in the router's order
    width,
    hidden,
    GROUP: tl.constexpr,
    FORMAT: tl.constexpr,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    KIND: tl.constexpr = inner.dtype.element_ty
    expert = tl.program_id(1).to(tl.int64)
    begin = tl.load(ends + expert - 1, mask=expert > 0, other=0)
    end = tl.load(ends + expert)
    out = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    inputs = width
    if FORMAT == "int4":
        inputs = width // 2
    groups = width // GROUP
    if FORMAT == "fp8":
        groups = 1
    own = weight + expert * hidden * inputs
    scales, leasts = scale + expert * hidden * groups, least + expert * hidden * groups
    for first in range(begin, end, ROWS):
        place = first + tl.arange(0, ROWS)
        row = tl.load(order + place, mask=place < end, other=0)
        total = tl.zeros([ROWS, OUTPUTS], tl.float32)
        for block in range(0, width, INPUTS):
            column = block + tl.arange(0, INPUTS)
            there = (place < end)[:, None] & (column < width)[None, :]
            at = place.to(tl.int64)[:, None] * width + column[None, :]
            tile = tl.load(inner + at, mask=there, other=0.0)
            spread = _spread(own, scales, leasts, out, column, hidden, width, KIND, GROUP, FORMAT)
            total = product(tile, spread, total)
        if FORMAT == "fp8":
            total *= tl.load(scales + out, mask=out < hidden, other=0.0)[None, :]
        share = tl.load(shares + row, mask=place < end, other=0.0).to(tl.float32)
        total = total.to(KIND).to(tl.float32) * share[:, None]
        at = row.to(tl.int64)[:, None] * hidden + out[None, :]
        there = (place < end)[:, None] & (out < hidden)[None, :]
        tl.store(apart + at, total.to(KIND), mask=there)
