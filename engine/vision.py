"""The vision tower: an image's patches in, its soft tokens out, as the text model reads them.

Patches are embedded with a table of columns and one of rows, go through layers of attention in
which each sees all others, and are pooled by squares of neighbours; a projection takes them to the
text model's width. One image at a time, without padding: what an image is read as does not depend
on others. The tower stays in the model's dtype, whatever the format of the text model's weights.

The reference is `Gemma4VisionModel` (`models/gemma4/modeling_gemma4.py` in `transformers`) and the
`embed_vision` of `models/diffusion_gemma`; parameters are named as in the published checkpoint,
behind `model.encoder.`.

Letters in shapes: N patches, S soft tokens, D hidden, H heads, G key-value heads, K head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import VisionConfig
from .model import RMSNorm, rotate


@dataclass(frozen=True, eq=False)
class Patches:
    """An image as the tower takes it: `values` [N, 3 · side²] in float32, from 0 to 1, each patch
    row by row with its channels innermost, and the patches row by row."""

    values: Tensor
    rows: int
    columns: int


class ClippedLinear(nn.Module):
    """A projection whose inputs and outputs are held within the bounds of its training, where a
    checkpoint has such (`use_clipped_linears`)."""

    input_min: Tensor
    input_max: Tensor
    output_min: Tensor
    output_max: Tensor

    def __init__(self, config: VisionConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.clipped = config.use_clipped_linears
        if self.clipped:
            for name in ("input", "output"):
                self.register_buffer(f"{name}_min", torch.tensor(-torch.inf))
                self.register_buffer(f"{name}_max", torch.tensor(torch.inf))

    def forward(self, x: Tensor) -> Tensor:
        if not self.clipped:
            return self.linear(x)
        return self.linear(x.clamp(self.input_min, self.input_max)).clamp(
            self.output_min, self.output_max
        )


class PatchEmbedder(nn.Module):
    """A patch's pixels, and where it is."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.input_proj = nn.Linear(3 * config.patch_size**2, config.hidden_size, bias=False)
        self.position_embedding_table = nn.Parameter(
            torch.ones(2, config.position_embedding_size, config.hidden_size)
        )

    def forward(self, values: Tensor, places: Tensor) -> Tensor:
        """[N, 3 · side²] at columns and rows [N, 2] to [N, D]."""
        table = self.position_embedding_table
        scaled = (2 * (values - 0.5)).to(table.dtype)
        return self.input_proj(scaled) + (table[0][places[:, 0]] + table[1][places[:, 1]])


class VisionAttention(nn.Module):
    """Every patch sees every other."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        hidden, self.head_size = config.hidden_size, config.head_dim
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.q_proj = ClippedLinear(config, hidden, self.heads * self.head_size)
        self.k_proj = ClippedLinear(config, hidden, self.groups * self.head_size)
        self.v_proj = ClippedLinear(config, hidden, self.groups * self.head_size)
        self.o_proj = ClippedLinear(config, self.heads * self.head_size, hidden)
        self.q_norm = RMSNorm(self.head_size, config.rms_norm_eps)
        self.k_norm = RMSNorm(self.head_size, config.rms_norm_eps)
        self.v_norm = RMSNorm(self.head_size, config.rms_norm_eps, scale=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        def by_head(projected: Tensor) -> Tensor:
            return projected.view(len(x), -1, self.head_size)

        q = self._placed(self.q_norm(by_head(self.q_proj(x))), rotary)  # [N, H, K]
        k = self._placed(self.k_norm(by_head(self.k_proj(x))), rotary)  # [N, G, K]
        v = self.v_norm(by_head(self.v_proj(x)))
        q, k, v = (part.transpose(0, 1)[None] for part in (q, k, v))
        attended = F.scaled_dot_product_attention(
            q, k, v, scale=1.0, enable_gqa=self.groups != self.heads
        )  # [1, H, N, K]
        return self.o_proj(attended[0].transpose(0, 1).reshape(len(x), -1))

    def _placed(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """[N, H, K]: the first half of a head turned by the patch's column, the second by its
        row."""
        parts = zip(x.chunk(2, -1), *(table.chunk(2, -1) for table in rotary), strict=True)
        return torch.cat([rotate(*part) for part in parts], dim=-1)


class VisionMLP(nn.Module):
    """down(gelu(gate(x)) * up(x))."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        hidden, width = config.hidden_size, config.intermediate_size
        self.gate_proj = ClippedLinear(config, hidden, width)
        self.up_proj = ClippedLinear(config, hidden, width)
        self.down_proj = ClippedLinear(config, width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class VisionLayer(nn.Module):
    """[N, D] in and out."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        hidden, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = VisionAttention(config)
        self.mlp = VisionMLP(config)
        self.input_layernorm = RMSNorm(hidden, eps)
        self.post_attention_layernorm = RMSNorm(hidden, eps)
        self.pre_feedforward_layernorm = RMSNorm(hidden, eps)
        self.post_feedforward_layernorm = RMSNorm(hidden, eps)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x), rotary)
        x = x + self.post_attention_layernorm(attended)
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class VisionEncoder(nn.Module):
    """The tower's layers."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        for layer in self.layers:
            x = layer(x, rotary)
        return x


class VisionTower(nn.Module):
    """Patches to pooled states."""

    std_bias: Tensor
    std_scale: Tensor

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedder = PatchEmbedder(config)
        self.encoder = VisionEncoder(config)
        if config.standardize:
            self.register_buffer("std_bias", torch.zeros(config.hidden_size))
            self.register_buffer("std_scale", torch.ones(config.hidden_size))
        half = config.head_dim // 2
        exponents = torch.arange(0, half, 2, dtype=torch.float32, device="cpu") / half
        self._frequencies = 1.0 / config.rope_parameters.rope_theta**exponents

    def forward(self, patches: Patches) -> Tensor:
        """The pooled states [S, D] of an image's squares of patches, row by row."""
        dtype = self.patch_embedder.position_embedding_table.dtype
        device = self.patch_embedder.position_embedding_table.device
        rows = torch.arange(patches.rows, device=device)
        columns = torch.arange(patches.columns, device=device)
        places = torch.cartesian_prod(rows, columns).flip(-1)  # [N, 2] of column and row
        x = self.patch_embedder(patches.values.to(device), places)
        angles = places[..., None].float() * self._frequencies.to(device)  # [N, 2, K / 4]
        angles = torch.cat([angles, angles], dim=-1).flatten(1)[:, None]  # [N, 1, K]
        x = self.encoder(x, (angles.cos().to(dtype), angles.sin().to(dtype)))
        side = self.config.pooling_kernel_size
        squares = x.view(patches.rows // side, side, patches.columns // side, side, -1)
        # the scale and what follows go beyond the range of a half
        pooled = squares.float().mean(dim=(1, 3)).flatten(0, 1).to(dtype).float()
        pooled = pooled * self.config.hidden_size**0.5
        if self.config.standardize:
            pooled = (pooled - self.std_bias.float()) * self.std_scale.float()
        return pooled.to(dtype)


class VisionEmbedder(nn.Module):
    """Pooled states to the text model's width."""

    def __init__(self, config: VisionConfig, text_width: int) -> None:
        super().__init__()
        self.embedding_projection = nn.Linear(config.hidden_size, text_width, bias=False)
        self.embedding_pre_projection_norm = RMSNorm(
            config.hidden_size, config.rms_norm_eps, scale=False
        )

    def forward(self, pooled: Tensor) -> Tensor:
        return self.embedding_projection(self.embedding_pre_projection_norm(pooled))


class Vision(nn.Module):
    """What a checkpoint sees with."""

    def __init__(self, config: VisionConfig, text_width: int) -> None:
        super().__init__()
        self.vision_tower = VisionTower(config)
        self.embed_vision = VisionEmbedder(config, text_width)

    def forward(self, patches: Patches) -> Tensor:
        """The soft tokens [S, text width] that stand for an image in a text."""
        return cast("Tensor", self.embed_vision(self.vision_tower(patches)))
