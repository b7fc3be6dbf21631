"""The steps of `sweep` as one Triton program for each chain.

A program goes through its chain's positions alone, so a whole pass is one launch where plain tensor
code needs several for each position. Within a position it takes blocks of states, each thread
adding up one state's edges in their order; the barrier makes a position's vector visible to the
next one's gathers.
"""

# what a kernel's body means is Triton's to say, and not every machine has Triton
# pyright: reportArgumentType=false, reportCallIssue=false, reportMissingImports=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .sweep import NEVER, Union

_BLOCK = 512
_WARPS = 16


@triton.jit
def _steps(
    vectors,  # [T + 1, Q], the first row filled
    weights,  # [T, S]
    starts,  # [Q + 1]
    other,  # [E]
    sets,  # [E]
    bounds,  # [B + 1]
    positions,
    states,
    all_sets,
    SUMS: tl.constexpr,
    NONE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    chain = tl.program_id(0)
    first = tl.load(bounds + chain)
    last = tl.load(bounds + chain + 1)
    for place in range(positions):
        before = vectors + place * states
        row = weights + place * all_sets
        for block in range(first, last, BLOCK):
            state = block + tl.arange(0, BLOCK)
            mine = state < last
            edge = tl.load(starts + state, mask=mine, other=0)
            end = tl.load(starts + state + 1, mask=mine, other=0)
            best = tl.full([BLOCK], 2 * NONE, tl.float32)
            total = tl.zeros([BLOCK], tl.float32)
            for _ in range(tl.max(end - edge)):
                there = edge < end
                one = tl.load(sets + edge, mask=there, other=0)
                weight = tl.load(row + one, mask=there, other=float("-inf"))
                far = tl.load(other + edge, mask=there, other=0)
                value = weight + tl.load(before + far, mask=there, other=0.0)
                higher = tl.maximum(best, value)
                if SUMS:
                    total = total * tl.exp(best - higher) + tl.exp(value - higher)
                best = higher
                edge += 1
            if SUMS:
                # a state without edges has no total: it keeps its weight, which is under the least
                best += tl.log(tl.where(total > 0, total, 1.0))
            tl.store(before + states + state, tl.maximum(best, NONE), mask=mine)
        tl.debug_barrier()


def stepped(union: Union, *, sums: bool) -> Tensor:
    """The states [T + 1, Q] of a union before its first step and after every one."""
    positions, all_sets = union.weights.shape
    states = len(union.first)
    vectors = union.first.new_empty(positions + 1, states)
    vectors[0] = union.first
    bounds = torch.tensor(union.bounds, device=union.first.device)
    links = union.links
    _steps[(len(union.bounds) - 1,)](
        vectors,
        union.weights,
        links.own.starts,
        links.other,
        links.sets,
        bounds,
        positions,
        states,
        all_sets,
        SUMS=sums,
        NONE=NEVER,
        BLOCK=_BLOCK,
        num_warps=_WARPS,
    )
    return vectors
