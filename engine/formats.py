"""The published layouts of quantised weights: which tensors stand for one weight, and what it is.

- FP8 (compressed-tensors, ModelOpt): `weight` in E4M3 times `weight_scale`, of a row, a block, or
  all.
- NVFP4 (ModelOpt): `weight`, two E2M1 a byte, times `weight_scale` (E4M3, of 16 values) times
  `weight_scale_2`.
- NVFP4 (compressed-tensors): `weight_packed` times `weight_scale` by `weight_global_scale`.
- Integers (compressed-tensors; AWQ, GPTQ): `weight_packed` in int32 less `weight_zero_point`, times
  `weight_scale`; `weight_shape` has what the packing filled up.
- NF4 and FP4 (bitsandbytes): `weight`, two places of `weight.quant_map` a byte, times
  `weight.absmax` of a block, which may be in 8 bits itself (`weight.nested_…`).

The scales of activations (`input_scale`, …) are of no use to weights that are multiplied as what
they stand for, and are left unread. References: `compressed_tensors.compressors`,
`bitsandbytes.functional.QuantState`, NVIDIA's ModelOpt `NVFP4QTensor`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError

_PART = re.compile(
    r"(?P<base>.+?)\.(?P<part>weight(?:[._].+)?|(?:input|output|k|v)_(?:global_)?scale)"
)
_OF_ACTIVATIONS = re.compile(r"(?:input|output|k|v)_(?:global_)?scale")
_STATE = "weight.quant_state.bitsandbytes__"
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The magnitudes of four bits."""
_INSTEAD = (
    "read are plain weights, FP8, NVFP4, compressed-tensors' packed integers and bitsandbytes' 4"
    ' bits: take one of those, or the plain checkpoint with quantize = "int4"'
)


def split(name: str) -> tuple[str, str]:
    """A stored tensor's weight, by its published name, and which part of it this is; a tensor that
    is no weight of a projection is its own."""
    found = _PART.fullmatch(name)
    return (f"{found['base']}.weight", found["part"]) if found else (name, "weight")


def float8(parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """The values in E4M3 [R, C] and the scale, of all or of each row, of which a weight's parts
    consist, where they do."""
    found = {part: value for part, value in parts.items() if not _OF_ACTIVATIONS.fullmatch(part)}
    if found.keys() != {"weight", "weight_scale"}:
        return None
    values, scale = found["weight"], found["weight_scale"]
    by_rows = values.ndim == 2 and scale.numel() in (1, len(values))
    return (values, scale) if values.dtype == torch.float8_e4m3fn and by_rows else None


def dense(name: str, parts: Mapping[str, Tensor], bits: int | None) -> Tensor:
    """What the parts of a weight stand for, in float32 (a plain weight: as it is). `bits` are those
    of packed integers, as the configuration says.

    Raises:
        CheckpointError: they are in a layout that is not read, or do not fit together.
    """
    found = {part: value for part, value in parts.items() if not _OF_ACTIVATIONS.fullmatch(part)}
    state = next((part for part in found if part.startswith(_STATE)), None)
    try:
        if found.keys() == {"weight"} and found["weight"].is_floating_point():
            if found["weight"].dtype.itemsize > 1:
                return found["weight"]
        elif state is not None:
            return _bitsandbytes(found, found[state])
        elif found.keys() == {"weight", "weight_scale"}:
            return _scaled(found["weight"].float(), found["weight_scale"].float())
        elif found.keys() == {"weight", "weight_scale", "weight_scale_2"}:
            scale = found["weight_scale"].float() * found["weight_scale_2"].float()
            return _scaled(_e2m1(found["weight"]), scale)
        elif found.keys() == {"weight_packed", "weight_scale", "weight_global_scale"}:
            scale = found["weight_scale"].float() / found["weight_global_scale"].float()
            return _scaled(_e2m1(found["weight_packed"]), scale)
        elif {"weight_packed", "weight_scale", "weight_shape"} <= found.keys():
            return _integers(found, bits)
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{name}: its parts do not fit together ({error})") from None
    shown = ", ".join(f"{part} ({value.dtype})" for part, value in sorted(parts.items()))
    raise CheckpointError(f"{name}: {shown} is a layout that is not read; {_INSTEAD}")


def _scaled(values: Tensor, scale: Tensor) -> Tensor:
    """Values [R, C] by scales of one, of each row [R, 1], or of blocks [R / r, C / c]."""
    if scale.numel() == 1:
        return values * scale.reshape(())
    if scale.ndim == 1:
        scale = scale[:, None]
    rows, columns = values.shape
    block = (math.ceil(rows / scale.shape[0]), math.ceil(columns / scale.shape[1]))
    spread = scale.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    return values * spread[:rows, :columns]


def _nibbles(packed: Tensor, *, high_first: bool = False) -> Tensor:
    """Two numbers of every byte, [..., C] to [..., 2 C]."""
    low, high = packed & 0x0F, packed >> 4
    pair = (high, low) if high_first else (low, high)
    return torch.stack(pair, dim=-1).flatten(-2)


def _e2m1(packed: Tensor) -> Tensor:
    """The values of four bits: a sign, two bits of exponent, one of mantissa."""
    table = torch.tensor([*E2M1, *(-value for value in E2M1)])
    return table[_nibbles(packed.view(torch.uint8)).int()]


def _integers(parts: Mapping[str, Tensor], bits: int | None) -> Tensor:
    """Unsigned numbers packed without a gap into int32, [R, C · bits / 32]: the smallest bits are
    the first number. Zero is the middle one, where no other is given."""
    if bits is None:
        raise ValueError("the configuration does not say how many bits a number has")
    rows, columns = parts["weight_shape"].tolist()
    values = _unpacked(parts["weight_packed"], bits)[:, :columns].float()
    scale = parts["weight_scale"].float()
    middle = float(2 ** (bits - 1))
    packed = parts.get("weight_zero_point")
    if packed is None:
        return _scaled(values - middle, scale)
    # The zeros are packed down the rows.
    zero = _unpacked(packed.T.contiguous(), bits)[:, :rows].T.float()
    spread = math.ceil(columns / zero.shape[1])
    return _scaled(values - zero.repeat_interleave(spread, 1)[:, :columns], scale)


def _unpacked(packed: Tensor, bits: int) -> Tensor:
    """The numbers [R, 32 · W / bits] of words [R, W]."""
    places = torch.arange(32, dtype=torch.int64)
    words = packed.to(torch.int64) & 0xFFFFFFFF
    each = (words[..., None] >> places & 1).flatten(-2)  # [R, 32 W]
    count = each.shape[-1] // bits
    weights = 2 ** torch.arange(bits, dtype=torch.int64)
    return (each[..., : count * bits].unflatten(-1, (count, bits)) * weights).sum(-1)


def _bitsandbytes(parts: Mapping[str, Tensor], told: Tensor) -> Tensor:
    """Blocks of numbers that share their largest magnitude, which may be in 8 bits itself."""
    state: Mapping[str, Any] = json.loads(bytes(told.tolist()))
    table = parts["weight.quant_map"].float()
    largest = parts["weight.absmax"]
    if "nested_blocksize" in state:
        nested = parts["weight.nested_absmax"].float()
        largest = parts["weight.nested_quant_map"].float()[largest.int()]
        largest = largest * nested.repeat_interleave(state["nested_blocksize"])[: len(largest)]
        largest = largest + state["nested_offset"]
    shape = state["shape"]
    numbers = _nibbles(parts["weight"].flatten().view(torch.uint8), high_first=True)
    values = table[numbers[: math.prod(shape)].int()]
    spread = largest.float().repeat_interleave(state["blocksize"])[: len(values)]
    return (values * spread).reshape(shape)
