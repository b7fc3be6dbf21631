"""Weights in 8 or 4 bits that are made on load, and multiplied as what they stand for.

A row is cut into groups of neighbours along the input. In 8 bits a group has a scale and a value is
`scale · code`, -127 to 127; in 4 bits it has a scale and a least value, and a value is `least +
scale · code`, 0 to 15, two codes a byte. Activations stay as they are, so nothing has to be
calibrated: codes are the nearest ones (group-wise, as in arXiv 2206.01861). A CPU multiplies 8 bits
as integers (`packed.py`), and of those a row is one group.

`torchao` has the same for `nn.Linear`; here projections are stacked and filled by parts, and the
experts are one tensor of three dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["int8", "int4"]
GROUPS = (64, 32, 16, 8, 4, 2)
"""Inputs of a group, as many as divide a row. At 64, 8 bits cost 8.25 a weight and 4 bits 4.5."""
_TINY = 2.0**-24  # the smallest half: a group of equal values has no scale


@dataclass(frozen=True, slots=True)
class Codes:
    """A weight [..., R, C], or a part of one, in the storage of the whole: codes [..., R, C] or two
    a byte, and scales and least values of groups [..., R, G]. `most` is the largest code."""

    codes: Tensor
    scale: Tensor
    least: Tensor | None
    group: int
    most: int

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.scale.shape[:-1], self.scale.shape[-1] * self.group))

    def __getitem__(self, part: int | slice) -> Codes:
        least = None if self.least is None else self.least[part]
        return Codes(self.codes[part], self.scale[part], least, self.group, self.most)

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight that the codes stand for."""
        codes = self.codes
        if self.least is not None:
            codes = torch.stack([codes & 0x0F, codes >> 4], dim=-1).flatten(-2)
        grouped = codes.to(dtype).unflatten(-1, (-1, self.group))
        grouped *= self.scale.to(dtype)[..., None]
        if self.least is not None:
            grouped += self.least.to(dtype)[..., None]
        return grouped.flatten(-2)

    def fill(self, weight: Tensor) -> None:
        """Take the codes that are nearest to a weight of this shape."""
        grouped = weight.to(self.codes.device, torch.float32).unflatten(-1, (-1, self.group))
        if self.least is None:
            self.scale.copy_(grouped.abs().amax(-1) / self.most)
            low = -self.most
        else:
            self.least.copy_(grouped.amin(-1))
            grouped = grouped - self.least.float()[..., None]
            self.scale.copy_(grouped.amax(-1) / self.most)
            low = 0
        step = self.scale.float().clamp_min(_TINY)[..., None]
        codes = (grouped / step).round().clamp(low, self.most).flatten(-2).to(self.codes.dtype)
        self.codes.copy_(codes if self.least is None else codes[..., 0::2] | codes[..., 1::2] << 4)


class Quantised(nn.Module):
    """Takes the place of a parameter [..., R, C]. With `row_codes` a row of 8 bits is one group,
    of codes that are no larger."""

    codes: Tensor
    scale: Tensor
    least: Tensor | None

    def __init__(
        self,
        shape: torch.Size,
        kind: Kind,
        device: torch.device | str,
        row_codes: int | None = None,
    ) -> None:
        super().__init__()
        *rows, columns = shape
        whole = kind == "int8"
        self.most = row_codes or (127 if whole else 15)
        self.group = columns
        if row_codes is None:
            self.group = next((size for size in GROUPS if columns % size == 0), 0)
        if not self.group:
            raise ValueError(f"rows of {columns} values cannot be quantised")
        groups = (*rows, columns // self.group)
        codes = torch.empty(
            *rows,
            columns if whole else columns // 2,
            dtype=torch.int8 if whole else torch.uint8,
            device=device,
        )
        self.register_buffer("codes", codes)
        scale = torch.empty(groups, dtype=torch.float16, device=device)
        self.register_buffer("scale", scale)
        self.register_buffer("least", None if whole else torch.empty_like(scale))

    @property
    def whole(self) -> Codes:
        return Codes(self.codes, self.scale, self.least, self.group, self.most)

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        return self.whole.shape

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, part: int | slice) -> Codes:
        return self.whole[part]

    def dense(self, dtype: torch.dtype) -> Tensor:
        return self.whole.dense(dtype)
