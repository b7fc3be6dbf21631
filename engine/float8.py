"""Weights in FP8 (E4M3) with a scale for every row, as published FP8 checkpoints have them.

A product is taken in FP8 where the device can: the activations are scaled token by token, by the
largest magnitude of each, as those checkpoints were made for ("FP8-dynamic" of compressed-tensors).
Elsewhere, and by the experts, a weight is multiplied as what it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .kernels import launches_on

LARGEST = 448.0
"""The largest number of E4M3."""
TINY = 1e-12
"""The scale of a row of zeros."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A weight [..., R, C], or a part of one, in the storage of the whole: values [..., R, C] in
    E4M3 and scales [..., R] in float32."""

    values: Tensor
    scale: Tensor

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    def __getitem__(self, part: int | slice) -> Scaled:
        return Scaled(self.values[part], self.scale[part])

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight that the values stand for."""
        return (self.values.float() * self.scale[..., None]).to(dtype)

    def fill(self, weight: Tensor) -> None:
        """Take the values that are nearest to a weight of this shape."""
        values, scale = scaled_rows(weight.to(self.values.device, torch.float32))
        self.values.copy_(values)
        self.scale.copy_(scale)

    def take(self, values: Tensor, scale: Tensor) -> None:
        """Take values as they are, with a scale for all of them or for each row."""
        self.values.copy_(values)
        self.scale.copy_(scale.float().reshape(-1).expand(self.scale.shape))


class Float8(nn.Module):
    """Takes the place of a parameter [..., R, C]."""

    values: Tensor
    scale: Tensor

    def __init__(self, shape: torch.Size, device: torch.device | str) -> None:
        super().__init__()
        values = torch.empty(shape, dtype=torch.float8_e4m3fn, device=device)
        self.register_buffer("values", values)
        scale = torch.empty(shape[:-1], dtype=torch.float32, device=device)
        self.register_buffer("scale", scale)

    @property
    def whole(self) -> Scaled:
        return Scaled(self.values, self.scale)

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: int | slice) -> Scaled:
        return self.whole[part]

    def dense(self, dtype: torch.dtype) -> Tensor:
        return self.whole.dense(dtype)


def scaled_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [..., C] as values in E4M3 and a scale [...] in float32 for each."""
    wide = x.float()
    scale = (wide.abs().amax(-1) / LARGEST).clamp_min(TINY)
    return (wide / scale[..., None]).to(torch.float8_e4m3fn), scale


def multiplies(x: Tensor, weight: Float8 | Scaled) -> bool:
    """Whether the device multiplies them in FP8: NVIDIA's from Ada and Hopper on do, in bf16 and by
    sixteens."""
    if x.dtype != torch.bfloat16 or not launches_on(x.device) or torch.version.hip:
        return False
    able = torch.cuda.get_device_capability(x.device) >= (8, 9)
    return able and not any(size % 16 for size in weight.shape)


def multiplied(x: Tensor, weight: Float8 | Scaled) -> Tensor:
    """x [..., C] by a weight [R, C], both in FP8, summed in float32 and given back in bf16."""
    if x.device.type == "cuda":
        from .kernels.float8 import scaled_rows as scaled
    else:
        scaled = scaled_rows
    values, scale = scaled(x.flatten(0, -2))
    product = torch.ops.aten._scaled_mm(
        values,
        weight.values.t(),
        scale[:, None],
        weight.scale[None],
        out_dtype=torch.bfloat16,
    )
    return product.view(*x.shape[:-1], -1)
