"""DiffusionGemma in plain torch: one set of weights, two passes.

The *encoder* pass reads committed tokens causally and writes a key-value cache. The *denoiser*
pass reads that cache and a canvas that attends to itself in both directions, and returns logits
for every position of the canvas. The weights are the same; only the layer scalars differ, and
the denoiser adds self-conditioning on its previous step.

This file knows token ids and nothing of text, sampling or constraints. The reference is
`models/diffusion_gemma/modeling_diffusion_gemma.py` in `transformers`; names of parameters follow
the published checkpoint, except that projections which read the same input are stored stacked
(`qkv_proj`, `gate_up_proj`): `checkpoint.py` splits and joins them.

Letters in shapes: B batch, T tokens encoded, P prefix in the cache, L canvas, D hidden, H heads,
G key-value heads, K head width, V vocabulary, E experts, N = B * T.
"""

from __future__ import annotations

import math
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Rotary, TextConfig


class KVCache:
    """Keys and values of the committed prefix, one pair of [B, G, P, K] a layer.

    Storage is allocated ahead with room for one canvas, so that a denoising step writes its own
    keys behind the prefix and reads both as one view, without a copy.
    """

    def __init__(self, layers: int) -> None:
        self.length = 0
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def prefix(self, layer: int) -> tuple[Tensor, Tensor]:
        """The committed keys and values of a layer, each [B, G, P, K]."""
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None
        assert values is not None
        return keys[:, :, : self.length], values[:, :, : self.length]

    def repeated(self, rows: int) -> KVCache:
        """A cache of `rows` rows over this one's only row; it is copied when it is first written
        to."""
        copy = KVCache(len(self._keys))
        copy.length = self.length
        for layer in range(len(self._keys)):
            keys, values = self.prefix(layer)
            copy._keys[layer] = keys.expand(rows, -1, -1, -1)
            copy._values[layer] = values.expand(rows, -1, -1, -1)
        return copy

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write [B, G, T, K] behind the prefix and return prefix and new together.

        The prefix grows only when `length` is advanced: until then the next append overwrites.
        """
        stored_keys, stored_values = self._keys[layer], self._values[layer]
        if stored_keys is None or stored_values is None:
            self._keys[layer], self._values[layer] = keys, values
            return keys, values
        if torch.is_grad_enabled():  # training: storage that autograd can follow
            return (
                torch.cat([stored_keys[:, :, : self.length], keys], dim=2),
                torch.cat([stored_values[:, :, : self.length], values], dim=2),
            )
        end = self.length + keys.shape[2]
        if end > stored_keys.shape[2]:
            stored_keys = _grown(stored_keys, self.length, end)
            stored_values = _grown(stored_values, self.length, end)
            self._keys[layer], self._values[layer] = stored_keys, stored_values
        stored_keys[:, :, self.length : end] = keys
        stored_values[:, :, self.length : end] = values
        return stored_keys[:, :, :end], stored_values[:, :, :end]


def _grown(stored: Tensor, length: int, needed: int) -> Tensor:
    """`stored` with room for `needed` positions and a quarter more; the first `length` kept."""
    batch, heads, _, width = stored.shape
    larger = stored.new_empty(batch, heads, needed + needed // 4, width)
    larger[:, :, :length] = stored[:, :, :length]
    return larger


class RMSNorm(nn.Module):
    """Root-mean-square normalisation, computed in float32, with or without a learned scale."""

    weight: Tensor | None

    def __init__(self, width: int, eps: float, *, scale: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.float()
        return F.rms_norm(x.float(), (x.shape[-1],), weight, self.eps).type_as(x)


def rotary_frequencies(rotary: Rotary, head_size: int) -> Tensor:
    """Inverse frequencies [K / 2]; a proportional embedding leaves the last ones at zero."""
    share = rotary.partial_rotary_factor if rotary.rope_type == "proportional" else 1.0
    rotated = int(share * head_size // 2)
    exponents = torch.arange(0, 2 * rotated, 2, dtype=torch.float32, device="cpu") / head_size
    frequencies = torch.zeros(head_size // 2, device="cpu")
    frequencies[:rotated] = 1.0 / rotary.rope_theta**exponents
    return frequencies / rotary.factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [B, T, H, K] by cos and sin of [B, T, 1, K]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query attention; a full layer has no value projection, its values are its keys
    before they are normalised."""

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.sliding = config.layer_types[layer] == "sliding_attention"
        self.heads = config.num_attention_heads
        self.groups = config.key_value_heads(layer)
        self.head_size = config.head_size(layer)
        width = self.heads + self.groups * (2 if self.sliding else 1)
        self.qkv_proj = nn.Linear(config.hidden_size, width * self.head_size, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_size, config.hidden_size, bias=False)
        self.q_norm = RMSNorm(self.head_size, config.rms_norm_eps)
        self.k_norm = RMSNorm(self.head_size, config.rms_norm_eps)
        self.v_norm = RMSNorm(self.head_size, config.rms_norm_eps, scale=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], view: View) -> Tensor:
        batch, tokens, _ = x.shape
        projected = self.qkv_proj(x).view(batch, tokens, -1, self.head_size)
        if self.sliding:
            q, k, v = projected.split([self.heads, self.groups, self.groups], dim=2)
        else:
            q, k = projected.split([self.heads, self.groups], dim=2)
            v = k
        q = rotate(self.q_norm(q), *rotary).transpose(1, 2)  # [B, H, T, K]
        k = rotate(self.k_norm(k), *rotary).transpose(1, 2)  # [B, G, T, K]
        v = self.v_norm(v).transpose(1, 2)
        k, v = view.cache.append(self.layer, k, v)
        if self.sliding and view.first_visible:
            k, v = k[:, :, view.first_visible :], v[:, :, view.first_visible :]
        attended = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=view.sliding_mask if self.sliding else view.full_mask,
            is_causal=view.causal and not self.sliding,
            scale=1.0,
            enable_gqa=self.groups != self.heads,
        )
        return self.o_proj(attended.transpose(1, 2).reshape(batch, tokens, -1))


class Appendable(Protocol):
    """Where a pass leaves its keys and values."""

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add [B, G, T, K], and return all that the pass can see."""
        ...


class View:
    """What a pass may see: the cache, the masks of both layer kinds ([B or 1, 1, T, P + T] or
    `None` for everything), whether full layers are causal without a mask (nothing is cached yet),
    and the first cached position a sliding layer still sees."""

    def __init__(
        self,
        cache: Appendable,
        full_mask: Tensor | None = None,
        sliding_mask: Tensor | None = None,
        first_visible: int = 0,
        *,
        causal: bool = False,
    ) -> None:
        self.cache = cache
        self.causal = causal
        self.full_mask = full_mask
        self.sliding_mask = sliding_mask
        self.first_visible = first_visible


class GatedMLP(nn.Module):
    """down(gelu(gate(x)) * up(x))."""

    def __init__(self, hidden: int, intermediate: int) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(hidden, 2 * intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(F.gelu(gate, approximate="tanh") * up)


class Router(nn.Module):
    """Chooses experts from the raw residual, not from the normalised state."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.top_k = config.top_k_experts
        self.root = config.hidden_size**-0.5
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps, scale=False)
        self.proj = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.per_expert_scale = nn.Parameter(torch.ones(config.num_experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and indices of the chosen experts, both [N, top_k]."""
        scores = self.proj(self.norm(x) * self.scale * self.root)  # [N, E]
        chances = scores.softmax(dim=-1, dtype=torch.float32)
        weights, experts = chances.topk(self.top_k, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights * self.per_expert_scale[experts], experts


class Experts(nn.Module):
    """All experts' weights stacked; each token visits the experts that the router chose."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        hidden, width = config.hidden_size, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(config.num_experts, 2 * width, hidden))
        self.down_proj = nn.Parameter(torch.empty(config.num_experts, hidden, width))
        nn.init.normal_(self.gate_up_proj, std=0.02)
        nn.init.normal_(self.down_proj, std=0.02)

    def forward(self, x: Tensor, weights: Tensor, experts: Tensor) -> Tensor:
        """[N, D] in, [N, D] out: tokens are sorted by expert, so each one's are contiguous."""
        top_k = experts.shape[1]
        order = experts.flatten().argsort(stable=True)  # [N * top_k]
        rows = order // top_k
        counts = torch.bincount(experts.flatten(), minlength=len(self.gate_up_proj)).tolist()
        gathered = x[rows].split(counts)
        outputs = []
        for index, chunk in enumerate(gathered):
            if counts[index]:
                gate, up = F.linear(chunk, self.gate_up_proj[index]).chunk(2, dim=-1)
                hidden = F.gelu(gate, approximate="tanh") * up
                outputs.append(F.linear(hidden, self.down_proj[index]))
        weighted = torch.cat(outputs) * weights.flatten()[order, None].to(x.dtype)
        return torch.zeros_like(x).index_add_(0, rows, weighted)


class Layer(nn.Module):
    """Attention, then a dense MLP and routed experts side by side, each between two norms.

    `encoder_scalar` and `denoiser_scalar` scale the layer's output in the two passes.
    """

    encoder_scalar: Tensor
    denoiser_scalar: Tensor

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        hidden, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = Attention(config, layer)
        self.mlp = GatedMLP(hidden, config.intermediate_size)
        self.router = Router(config)
        self.experts = Experts(config)
        self.input_layernorm = RMSNorm(hidden, eps)
        self.post_attention_layernorm = RMSNorm(hidden, eps)
        self.pre_feedforward_layernorm = RMSNorm(hidden, eps)
        self.pre_feedforward_layernorm_2 = RMSNorm(hidden, eps)
        self.post_feedforward_layernorm_1 = RMSNorm(hidden, eps)
        self.post_feedforward_layernorm_2 = RMSNorm(hidden, eps)
        self.post_feedforward_layernorm = RMSNorm(hidden, eps)
        self.register_buffer("encoder_scalar", torch.ones(1))
        self.register_buffer("denoiser_scalar", torch.ones(1))

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], view: View, scalar: Tensor
    ) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x), rotary, view)
        x = x + self.post_attention_layernorm(attended)

        dense = self.post_feedforward_layernorm_1(self.mlp(self.pre_feedforward_layernorm(x)))
        flat = x.reshape(-1, x.shape[-1])  # [N, D]
        routed = self.experts(self.pre_feedforward_layernorm_2(flat), *self.router(flat))
        routed = self.post_feedforward_layernorm_2(routed.view_as(x))
        return (x + self.post_feedforward_layernorm(dense + routed)) * scalar


class SelfConditioning(nn.Module):
    """Adds the previous step's soft embeddings to the canvas, through a gated MLP."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.pre_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_norm = RMSNorm(config.hidden_size, config.rms_norm_eps, scale=False)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size)

    def forward(self, embedded: Tensor, soft: Tensor | None) -> Tensor:
        """[B, L, D]; without a previous step the MLP would add exactly zero, so it is skipped."""
        if soft is None:
            return self.post_norm(embedded)
        return self.post_norm(embedded + self.mlp(self.pre_norm(soft)))


class DiffusionGemma(nn.Module):
    """The model: `encode` writes the cache, `denoise` reads it."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_conditioning = SelfConditioning(config)
        self._frequencies = {
            kind: rotary_frequencies(config.rope_parameters[kind], config.head_size(layer))
            for layer, kind in enumerate(config.layer_types)
        }

    @property
    def stack(self) -> list[Layer]:
        """The layers, typed."""
        return cast("list[Layer]", list(self.layers))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed_tokens.weight.device

    def new_cache(self) -> KVCache:
        """An empty cache for one conversation, or for one batch of them."""
        return KVCache(self.config.num_hidden_layers)

    def encode(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """Read [B, T] tokens behind the cached prefix, causally, and commit them to the cache.

        Returns the normalised last states [B, T, D] (`logits` of them is the next-token head).
        """
        batch, count = tokens.shape
        start, window = cache.length, self.config.sliding_window
        positions = torch.arange(start, start + count, device=tokens.device)
        seen = torch.arange(start + count, device=tokens.device)
        full = seen[None, :] <= positions[:, None]  # [T, P + T]
        sliding = full & (seen[None, :] > positions[:, None] - window)
        whole = start == 0
        view = View(cache, None if whole else full[None, None], sliding[None, None], causal=whole)
        states = self.run(self.embed(tokens), positions[None].expand(batch, -1), view)
        cache.length += count
        return states

    def denoise(
        self,
        canvas: Tensor,
        cache: KVCache,
        soft_embeddings: Tensor | None = None,
        prefix_lengths: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, L, V] of a canvas [B, L] that stands behind the cached prefix.

        Sliding layers see the last `sliding_window - 1` tokens of the prefix and the whole canvas.
        `soft_embeddings` [B, L, D] carry the previous step (see `soften`). `prefix_lengths` [B]
        says how much of the cached prefix each row of a padded batch may see.
        """
        batch, length = canvas.shape
        window = self.config.sliding_window
        offsets = torch.arange(length, device=canvas.device)
        if prefix_lengths is None:
            positions = (offsets + cache.length)[None].expand(batch, -1)
            view = View(cache, first_visible=max(0, cache.length - window + 1))
        else:
            positions = offsets[None] + prefix_lengths[:, None]
            slots = torch.arange(cache.length + length, device=canvas.device)[None]  # [1, P + L]
            own = slots >= cache.length
            full = own | (slots < prefix_lengths[:, None])  # [B, P + L]
            sliding = own | (full & (slots > prefix_lengths[:, None] - window))
            view = View(cache, full[:, None, None], sliding[:, None, None])
        x = self.self_conditioning(self.embed(canvas), soft_embeddings)
        return self.logits(self.run(x, positions, view, denoiser=True))

    def run(self, x: Tensor, positions: Tensor, view: View, *, denoiser: bool = False) -> Tensor:
        """All layers over embedded tokens [B, T, D] at positions [B, T]; their normalised last
        states [B, T, D]."""
        rotary = self._rotary(positions)
        for layer in self.stack:
            scalar = layer.denoiser_scalar if denoiser else layer.encoder_scalar
            x = layer(x, rotary[layer.self_attn.sliding], view, scalar)
        return self.norm(x)

    def logits(self, states: Tensor) -> Tensor:
        """Soft-capped float32 logits of normalised states, through the tied head."""
        cap = self.config.final_logit_softcapping
        raw = F.linear(states, self.embed_tokens.weight).float()
        if torch.is_grad_enabled():
            return torch.tanh(raw / cap) * cap
        return raw.div_(cap).tanh_().mul_(cap)

    def soften(self, probabilities: Tensor) -> Tensor:
        """The expected embedding [B, L, D] under a step's probabilities [B, L, V]."""
        weight = self.embed_tokens.weight
        return probabilities.to(weight.dtype) @ weight * self._scale(weight)

    def embed(self, tokens: Tensor) -> Tensor:
        """The embeddings [..., D] of tokens, as a pass reads them."""
        embedded = self.embed_tokens(tokens)
        return embedded * self._scale(embedded)

    def _scale(self, like: Tensor) -> Tensor:
        # rounded to the weights' dtype first, as the reference does
        return torch.tensor(math.sqrt(self.config.hidden_size), dtype=like.dtype)

    def _rotary(self, positions: Tensor) -> dict[bool, tuple[Tensor, Tensor]]:
        """cos and sin, each [B, T, 1, K], keyed by whether the layer is a sliding one."""
        tables: dict[bool, tuple[Tensor, Tensor]] = {}
        dtype = self.embed_tokens.weight.dtype
        for kind, frequencies in self._frequencies.items():
            angles = positions[..., None].float() * frequencies.to(positions.device)
            angles = torch.cat([angles, angles], dim=-1)[:, :, None]
            tables[kind == "sliding_attention"] = (angles.cos().to(dtype), angles.sin().to(dtype))
        return tables
