"""The model's two curves, by one exponential each.

On a CPU torch's own hyperbolic tangent takes three times as long as an exponential, and its GELU
and its sigmoid round the last few numbers of a tensor another way than the rest, so that a token's
would depend on how many came before it. Here every number is treated alike, wherever it stands.

tanh x = 1 − 2 / (e^2x + 1), and so GELU's approximation (arXiv 1606.08415, section 2) is
x / (1 + e^−2u) with u = √(2 / π) (x + 0.044715 x³).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LINEAR = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _LINEAR


def gated(gate_up: Tensor) -> Tensor:
    """gelu(gate) * up [..., W], of both side by side [..., 2 W]."""
    gate, up = gate_up.chunk(2, dim=-1)
    plain = gate.device.type != "cpu" or gate.dtype != torch.float32
    if plain or torch.is_grad_enabled():
        return F.gelu(gate, approximate="tanh") * up
    power = (gate * gate).mul_(-_CUBIC).sub_(_LINEAR).mul_(gate)
    return torch.mul(gate, up).div_(power.exp_().add_(1))


def capped(raw: Tensor, cap: float, out: Tensor) -> Tensor:
    """cap · tanh(raw / cap), in float32; `raw` is overwritten."""
    shares = raw.mul_(2 / cap).exp_().add_(1).reciprocal_()
    return torch.mul(shares, -2 * cap, out=out).add_(cap)
