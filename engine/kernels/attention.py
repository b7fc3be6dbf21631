"""Attention of canvases, each to the cached text before it and to itself.

The keys of a canvas are not written behind its text: a program reads either the text's, wherever
they are in memory, or the canvas's own. Where the texts are and how long they are stands in a table
on the device, so one captured launch serves every text. A text is cut into a fixed number of parts
that are read side by side, and what they find is joined in their order.

Letters in shapes: B canvases, L their tokens, H heads, G key-value heads, K head width, P parts of
a text; a program has some of the L * H / G queries that read one key-value head.
"""

# what a kernel's body means is Triton's to say, and not every machine has Triton
# pyright: reportArgumentType=false, reportCallIssue=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from .product import product

COLUMNS = 7
"""Of a row of the table: the addresses of the first key and of the first value that the canvas
sees, their number, and how many numbers lie from one head to the next and from one token to the
next, of the keys and of the values."""
_QUERIES = 64
_KEYS = 8192  # numbers of the keys that are read at a time: with more of them, registers spill
_PARTS = 4
_ROWS = 8
_NEVER = tl.constexpr(-1e30)


def table_row(keys: Tensor, values: Tensor) -> Sequence[int]:
    """The row of a canvas that sees keys and values [1, G, T, K]. Whoever launches a kernel with it
    keeps both where they are until it is done.

    Raises:
        ValueError: the numbers of one key do not lie side by side.
    """
    for one in (keys, values):
        if one.stride(3) != 1:
            raise ValueError(f"keys of strides {one.stride()} cannot be read: the last must be 1")
    heads, steps = (keys.stride(1), values.stride(1)), (keys.stride(2), values.stride(2))
    return (keys.data_ptr(), values.data_ptr(), keys.shape[2], *heads, *steps)


def attended(q: Tensor, k: Tensor, v: Tensor, table: Tensor) -> Tensor:
    """What canvases see: q [B, L, H, K] and their own k and v [B, L, G, K], a table [B, COLUMNS]
    in int64 of what each sees of its text; [B, L, H, K]. Scores are not scaled."""
    canvases, length, heads, width = q.shape
    groups = k.shape[2]
    found = q.new_empty(_PARTS + 1, canvases, length, heads, width, dtype=torch.float32)
    weights = q.new_empty(_PARTS + 1, canvases, length, heads, dtype=torch.float32)
    share = heads // groups
    grid = (triton.cdiv(length * share, _QUERIES), canvases * groups, _PARTS + 1)
    size = triton.next_power_of_2(width)
    _attend[grid](
        *(q.contiguous(), k.contiguous(), v.contiguous(), table, found, weights, length),
        COLUMNS=COLUMNS,
        GROUPS=groups,
        SHARE=share,
        WIDTH=width,
        SIZE=size,
        PARTS=_PARTS,
        QUERIES=_QUERIES,
        ALIGNED=16 if width % 16 == 0 else 1,
        KEYS=max(16, min(32, _KEYS // size)),
        num_warps=8,
        num_stages=2,
    )
    joined = torch.empty_like(q, memory_format=torch.contiguous_format)
    rows = canvases * length * heads
    shape = {"WIDTH": width, "SIZE": size, "PARTS": _PARTS + 1, "ROWS": _ROWS}
    _join[(triton.cdiv(rows, _ROWS),)](found, weights, joined, rows, **shape)
    return joined


@triton.jit
def _read(
    q,  # [QUERIES, SIZE]
    keys,
    values,
    of_keys,  # from one token to the next
    of_values,
    first,
    end,
    column,  # [SIZE]
    top,  # [QUERIES] the largest score so far
    total,  # [QUERIES] of the exponentials of scores less that
    found,  # [QUERIES, SIZE] values, each times its exponential
    WIDTH: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Read the tokens from `first` to `end`."""
    for begin in range(first, end, KEYS):
        token = begin + tl.arange(0, KEYS)
        there = (token < end)[:, None] & (column < WIDTH)[None, :]
        token = token.to(tl.int64)[:, None]
        key = tl.load(keys + token * of_keys + column[None, :], mask=there, other=0.0)
        scores = product(q, tl.trans(key), tl.zeros([q.shape[0], KEYS], tl.float32))
        scores = tl.where((begin + tl.arange(0, KEYS) < end)[None, :], scores, _NEVER)
        higher = tl.maximum(top, tl.max(scores, 1))
        shares = tl.exp(scores - higher[:, None])
        kept = tl.exp(top - higher)
        total = total * kept + tl.sum(shares, 1)
        value = tl.load(values + token * of_values + column[None, :], mask=there, other=0.0)
        found = product(shares.to(value.dtype), value, found * kept[:, None])
        top = higher
    return top, total, found


@triton.jit
def _attend(
    q,  # [B, L, H, K]
    k,  # [B, L, G, K]
    v,  # [B, L, G, K]
    table,  # [B, COLUMNS]
    found,  # [P + 1, B, L, H, K]
    weights,  # [P + 1, B, L, H] log-sum-exp of the scores
    length,
    COLUMNS: tl.constexpr,
    GROUPS: tl.constexpr,
    SHARE: tl.constexpr,
    WIDTH: tl.constexpr,
    SIZE: tl.constexpr,
    PARTS: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    canvas, group = tl.program_id(1) // GROUPS, tl.program_id(1) % GROUPS
    part = tl.program_id(2)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    asked = query < length * SHARE
    # queries of one key-value head lie side by side: those of a token, then the next token's
    head = group * SHARE + query % SHARE
    row = (canvas * length + query // SHARE) * (GROUPS * SHARE) + head
    column = tl.arange(0, SIZE)
    at = row.to(tl.int64)[:, None] * WIDTH + column[None, :]
    there = asked[:, None] & (column < WIDTH)[None, :]
    queries = tl.load(q + at, mask=there, other=0.0)

    top = tl.full([QUERIES], _NEVER, tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    seen = tl.zeros([QUERIES, SIZE], tl.float32)
    if part == PARTS:
        own = (canvas * length * GROUPS + group).to(tl.int64) * WIDTH
        top, total, seen = _read(
            *(queries, k + own, v + own, GROUPS * WIDTH, GROUPS * WIDTH, 0, length),
            *(column, top, total, seen, WIDTH, KEYS),
        )
    else:
        entry = table + canvas * COLUMNS
        tokens = tl.load(entry + 2).to(tl.int32)
        size = tl.cdiv(tl.cdiv(tokens, PARTS), KEYS) * KEYS
        first = part * size
        # storage is aligned, and so are heads of 8 numbers or more: that makes the loads wide
        keys = tl.multiple_of(tl.load(entry), ALIGNED)
        values = tl.multiple_of(tl.load(entry + 1), ALIGNED)
        keys = keys.to(tl.pointer_type(q.dtype.element_ty))
        values = values.to(tl.pointer_type(q.dtype.element_ty))
        keys += group * tl.multiple_of(tl.load(entry + 3), ALIGNED)
        values += group * tl.multiple_of(tl.load(entry + 4), ALIGNED)
        of_keys = tl.multiple_of(tl.load(entry + 5), ALIGNED)
        of_values = tl.multiple_of(tl.load(entry + 6), ALIGNED)
        top, total, seen = _read(
            *(queries, keys, values, of_keys, of_values),
            *(first, tl.minimum(first + size, tokens)),
            *(column, top, total, seen, WIDTH, KEYS),
        )
    rows = tl.num_programs(1) // GROUPS * length * GROUPS * SHARE
    none = total == 0.0
    seen = seen / tl.where(none, 1.0, total)[:, None]
    weight = tl.where(none, _NEVER, top + tl.log(tl.where(none, 1.0, total)))
    tl.store(found + part.to(tl.int64) * rows * WIDTH + at, seen, mask=there)
    tl.store(weights + part * rows + row, weight, mask=asked)


@triton.jit
def _join(
    found,  # [P + 1, R, K]
    weights,  # [P + 1, R]
    joined,  # [R, K]
    rows,
    WIDTH: tl.constexpr,
    SIZE: tl.constexpr,
    PARTS: tl.constexpr,
    ROWS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, SIZE)
    there = (row < rows)[:, None] & (column < WIDTH)[None, :]
    top = tl.full([ROWS], _NEVER, tl.float32)
    for part in range(PARTS):
        of_part = tl.load(weights + part * rows + row, mask=row < rows, other=0.0)
        top = tl.maximum(top, of_part)
    total = tl.zeros([ROWS], tl.float32)
    value = tl.zeros([ROWS, SIZE], tl.float32)
    for part in range(PARTS):
        share = tl.exp(tl.load(weights + part * rows + row, mask=row < rows, other=0.0) - top)
        at = (part * rows + row)[:, None] * WIDTH + column[None, :]
        value += share[:, None] * tl.load(found + at, mask=there, other=0.0)
        total += share
    at = row[:, None] * WIDTH + column[None, :]
    tl.store(joined + at, (value / total[:, None]).to(joined.dtype.element_ty), mask=there)
