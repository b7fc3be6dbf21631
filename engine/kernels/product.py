"""Products of tiles inside a kernel."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

# the interpreter keeps bfloat16 as bits, and would multiply those
_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def product(left, right, total):
    """left [M, K] by right [K, N], of one dtype, added to a float32 total [M, N]; float32 is not
    rounded to tf32."""
    if _INTERPRETED:
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, total, input_precision="ieee")
