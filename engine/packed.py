"""Weights in 8 bits as a CPU multiplies them: integers by integers, in oneDNN's own order.

A row of a weight has one scale and codes from -63 to 63; the activations of a token are rounded
where they are needed, to a scale of its own and codes in 8 bits. Without the instructions for it
(AVX512-VNNI), a CPU adds two products of bytes in 16 bits: 2 · 255 · 63 still fits, so that sums
are exact on every machine. And as sums of integers have no order, what a token gives is the same to
the last bit whoever its neighbours are. (A scale a token: arXiv 2206.01861; the range:
https://uxlfoundation.github.io/oneDNN/dev_guide_int8_computations.html.)

Letters in shapes: N tokens, R rows of a weight, C its columns, V vocabulary, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .quantized import Codes, Quantised

MOST = 63
"""The largest code of a weight."""
_TOP = 127  # the largest code of an activation; zero is _TOP + 1
_SHARES = 255  # the largest code of a probability, whose zero is 0
_TINY = 1e-30
HEAD_ROWS = 1024
"""Logits of a token that a CPU computes at a time: they are capped while its cache has them."""
_SOFT_COLUMNS = 1 << 17  # of which no sum of products passes 32 bits
_TILE = 1 << 18  # numbers that stay in the cache from one operation to the next


def packs(device: torch.device | str) -> bool:
    """Whether weights there are multiplied as integers."""
    on_cpu = torch.device(device).type == "cpu" and torch.backends.mkldnn.is_available()
    return on_cpu and torch.backends.cpu.get_cpu_capability().startswith("AVX")


@dataclass(frozen=True, eq=False)
class Rounded:
    """Tokens in 8 bits: codes [N, C] in uint8, and a float32 step [N, 1] from one to the next."""

    codes: Tensor
    step: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Rounded:
        """The codes that are nearest to tokens [N, C]."""
        x = x.float()
        largest = torch.maximum(x.amax(-1, keepdim=True), x.amin(-1, keepdim=True).neg_())
        step = largest.mul_(1 / _TOP).clamp_min_(_TINY)
        # the cast cuts off, which rounds what a half was added to
        return cls((x * step.reciprocal()).add_(_TOP + 1.5).to(torch.uint8), step)

    def picked(self, rows: Tensor) -> Rounded:
        """The tokens of some rows [M]."""
        return Rounded(self.codes.index_select(0, rows), self.step.index_select(0, rows))


class Packed:
    """A weight [R, C]."""

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        """Codes [R, C] in int8, and a float32 scale [R] for each row."""
        self._codes: Tensor = torch.ops.onednn.qlinear_prepack(codes.contiguous(), None)
        self._scale = scale
        self._zeros = torch.zeros(len(scale), dtype=torch.int64)

    def times(self, x: Tensor) -> Tensor:
        """x [..., C] by the weight, [..., R]."""
        rounded = Rounded.of(x.reshape(-1, x.shape[-1]))
        found = self.sums(rounded.codes, _TOP + 1).mul_(rounded.step)
        return found.to(x.dtype).view(*x.shape[:-1], -1)

    def sums(self, codes: Tensor, zero: int) -> Tensor:
        """Codes [N, C] in uint8, each less `zero`, by the weight: float32 [N, R]."""
        return torch.ops.onednn.qlinear_pointwise(
            codes,
            1.0,
            zero,
            self._codes,
            self._scale,
            self._zeros,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )


class PackedWeight(nn.Module):
    """Takes the place of a parameter [..., R, C]: one weight, or one for each expert."""

    scale: Tensor

    def __init__(self, weight: Codes) -> None:
        super().__init__()
        self.shape = weight.shape
        self.register_buffer("scale", weight.scale[..., 0].float())
        rows, columns = weight.shape[-2:]
        parts = zip(weight.codes.view(-1, rows, columns), self.scale.view(-1, rows), strict=True)
        self._parts = [Packed(*part) for part in parts]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, expert: int) -> Packed:
        return self._parts[expert]

    def times(self, x: Tensor) -> Tensor:
        """x [..., C] by the only weight, [..., R]."""
        (whole,) = self._parts
        return whole.times(x)

    def each(self, tokens: Rounded, counts: Sequence[int]) -> Tensor:
        """As many tokens as are counted for an expert, by its weight, and so on: [N, R]."""
        parts = zip(self._parts, tokens.codes.split(list(counts)), strict=True)
        sums = [expert.sums(codes, _TOP + 1) for expert, codes in parts if len(codes)]
        return torch.cat(sums).mul_(tokens.step)


class PackedEmbedding:
    """An embedding [V, D] as head and soft embeddings multiply by it."""

    def __init__(self, weight: Tensor) -> None:
        self.head = [_packed(rows) for rows in weight.split(HEAD_ROWS)]
        """For the logits of `HEAD_ROWS` tokens each."""
        columns = weight.T.split(_SOFT_COLUMNS, dim=1)
        self._soft = [_packed(part) for part in columns]

    def expected(self, probabilities: Tensor) -> Tensor:
        """The expected embedding [N, D], not yet scaled, under probabilities [N, V]: codes in 8
        bits of the most probable token's."""
        step = probabilities.amax(-1, keepdim=True).mul_(1 / _SHARES)
        codes = torch.empty_like(probabilities, dtype=torch.uint8)
        rows = max(1, _TILE // probabilities.shape[1])
        for own, table, part in zip(
            step.split(rows), probabilities.split(rows), codes.split(rows), strict=True
        ):
            part.copy_((table / own).add_(0.5))
        parts = zip(codes.split(_SOFT_COLUMNS, dim=1), self._soft, strict=True)
        sums = [weight.sums(part.contiguous(), 0) for part, weight in parts]
        return torch.stack(sums).sum(0).mul_(step)


def pack(model: nn.Module) -> None:
    """Put packed weights in the place of quantised ones whose rows are groups."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Quantised):
                module.add_module(name, PackedWeight(child.whole))


def _packed(weight: Tensor) -> Packed:
    """A weight [R, C], rounded."""
    rounded = Quantised(weight.shape, "int8", weight.device, MOST).whole
    rounded.fill(weight)
    return Packed(rounded.codes, rounded.scale[:, 0].float())
