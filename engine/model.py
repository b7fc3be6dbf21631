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
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import KVCache
from .config import Rotary, TextConfig
from .curves import capped, gated
from .float8 import Float8, Scaled, multiplied, multiplies
from .kernels import launches_on
from .packed import HEAD_ROWS, Packed, PackedEmbedding, PackedWeight, Rounded
from .quantized import Codes, Quantised
from .views import (
    Block,
    Pass,
    Span,
    View,
    are_canvases,
    causal_block,
    causal_blocks,
    image_runs,
)

if TYPE_CHECKING:
    from .step import Steps
    from .vision import Patches, Vision

_FEW = 8  # tokens
Weight = Tensor | Float8 | Scaled | Quantised | Codes | Packed | PackedWeight


def linear(x: Tensor, weight: Weight) -> Tensor:
    """x [..., D] by a weight [E, D]. On a CPU a few tokens are filled up: they would go through
    another routine than many, and come out another in the last bit than they do in company. And
    where it has no instructions for them, 16 bits are widened first: it is five times as fast."""
    if not isinstance(weight, Tensor):
        if isinstance(weight, Packed | PackedWeight):
            return weight.times(x)
        if isinstance(weight, Float8 | Scaled) and multiplies(x, weight):
            return multiplied(x, weight)
        weight = weight.dense(x.dtype)
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return F.linear(x, weight)
    if x.dtype.itemsize == 2 and torch.backends.cpu.get_cpu_capability() == "AVX2":
        return linear(x.float(), weight.float()).to(x.dtype)
    tokens = x.numel() // x.shape[-1]
    if tokens >= _FEW:
        return F.linear(x, weight)
    filled = F.pad(x.reshape(tokens, -1), (0, 0, 0, _FEW - tokens))
    return F.linear(filled, weight)[:tokens].view(*x.shape[:-1], -1)


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

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], views: Sequence[View], last: bool
    ) -> Tensor:
        batch = len(x)
        q, k, v = (part.transpose(1, 2) for part in self.projected(x, rotary))
        sizes = [view.tokens for view in views]
        rows = zip(q.split(sizes, 2), k.split(sizes, 2), v.split(sizes, 2), views, strict=True)
        attended = [part for row in rows for part in self._attended(*row, last=last)]
        joined = torch.cat(attended, dim=2) if len(attended) > 1 else attended[0]
        joined = joined.transpose(1, 2)  # [B, T, H, K]
        return linear(joined.reshape(batch, joined.shape[1], -1), self.o_proj.weight)

    def projected(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, T, H, K], keys and values [B, T, G, K] of x [B, T, D]."""
        batch, tokens, _ = x.shape
        projected = linear(x, self.qkv_proj.weight).view(batch, tokens, -1, self.head_size)
        if self.sliding:
            q, k, v = projected.split([self.heads, self.groups, self.groups], dim=2)
        else:
            q, k = projected.split([self.heads, self.groups], dim=2)
            v = k
        return rotate(self.q_norm(q), *rotary), rotate(self.k_norm(k), *rotary), self.v_norm(v)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, view: View, *, last: bool) -> list[Tensor]:
        """What the blocks of a view see, [B, H, T, K]; in the last layer, the tokens wanted."""
        kept = view.cache.write(self.layer, k, v, view.start)
        unwanted = view.tokens - view.wanted if last else 0
        seen = []
        for block in view.blocks:
            span = block.sliding if self.sliding else block.full
            first, mask = max(block.first, unwanted), span.mask
            if first >= block.end:
                continue
            if mask is not None and mask.shape[2] > 1:
                mask = mask[:, :, first - block.first :]
            part = kept.part(span.first, span.end)
            attended = F.scaled_dot_product_attention(
                q[:, :, first : block.end],
                part.keys,
                part.values,
                attn_mask=mask,
                is_causal=span.causal,
                scale=1.0,
                enable_gqa=self.groups != self.heads,
            )
            seen.append(attended)
        return seen


class GatedMLP(nn.Module):
    """down(gelu(gate(x)) * up(x))."""

    def __init__(self, hidden: int, intermediate: int) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(hidden, 2 * intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return linear(gated(linear(x, self.gate_up_proj.weight)), self.down_proj.weight)


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
        scores = linear(self.norm(x) * self.scale * self.root, self.proj.weight)  # [N, E]
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
        if launches_on(x.device) and not torch.is_grad_enabled():
            from .kernels.experts import routed

            return routed(x, weights, experts, self.gate_up_proj, self.down_proj)
        top_k = experts.shape[1]
        order = experts.flatten().argsort(stable=True)  # [N * top_k]
        rows = order // top_k
        counts = torch.bincount(experts.flatten(), minlength=len(self.gate_up_proj)).tolist()
        found = self._visited(x, rows, counts)
        weighted = found * weights.flatten()[order, None].to(x.dtype)
        return torch.zeros_like(x).index_add_(0, rows, weighted)

    def _visited(self, x: Tensor, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """What the experts make of some rows of x, as many for each as are counted."""
        up, down = self.gate_up_proj, self.down_proj
        if isinstance(up, PackedWeight) and isinstance(down, PackedWeight):
            hidden = gated(up.each(Rounded.of(x).picked(rows), counts))
            return down.each(Rounded.of(hidden), counts).to(x.dtype)
        gathered = enumerate(x.index_select(0, rows).split(list(counts)))
        visits = ((chunk, up[index], down[index]) for index, chunk in gathered if len(chunk))
        return torch.cat([linear(gated(linear(chunk, u)), d) for chunk, u, d in visits])


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
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        views: Sequence[View],
        last: bool,
    ) -> Tensor:
        """[B, T, D] in and out; the `last` layer's are those wanted of it."""
        attended = self.self_attn(self.input_layernorm(x), rotary, views, last)
        if last and any(view.wanted < view.tokens for view in views):
            rows = zip(x.split([view.tokens for view in views], dim=1), views, strict=True)
            x = torch.cat([row[:, -view.wanted :] for row, view in rows], dim=1)
        return self.fed(x, attended, self._scalar(views, last))

    def fed(self, x: Tensor, attended: Tensor, scalar: Tensor) -> Tensor:
        """What the layer makes of x and of what its tokens saw, both [B, T, D]."""
        x = x + self.post_attention_layernorm(attended)

        dense = self.post_feedforward_layernorm_1(self.mlp(self.pre_feedforward_layernorm(x)))
        flat = x.reshape(-1, x.shape[-1])  # [N, D]
        routed = self.experts(self.pre_feedforward_layernorm_2(flat), *self.router(flat))
        routed = self.post_feedforward_layernorm_2(routed.view_as(x))
        return (x + self.post_feedforward_layernorm(dense + routed)) * scalar

    def _scalar(self, views: Sequence[View], last: bool) -> Tensor:
        """The scalar of the pass [1], or each token's own [N, 1] where both passes run at once."""
        scalars = [self.denoiser_scalar if one.denoises else self.encoder_scalar for one in views]
        if len({view.denoises for view in views}) == 1:
            return scalars[0]
        counts = [view.wanted if last else view.tokens for view in views]
        expanded = [one.expand(count) for one, count in zip(scalars, counts, strict=True)]
        return torch.cat(expanded)[:, None]


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
    """The model: `encode` writes the cache, `denoise` reads it. With `vision`, the texts that
    `reading` reads may have images in them."""

    def __init__(self, config: TextConfig, vision: Vision | None = None) -> None:
        super().__init__()
        self.config = config
        self.vision = vision
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.packed_embedding: PackedEmbedding | None = None
        """What multiplies in the place of the embedding, where weights are packed."""
        self._tables: Tensor | None = None  # [2, L, V]
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

    @property
    def dtype(self) -> torch.dtype:
        """What states, keys and values are kept in."""
        return self.embed_tokens.weight.dtype

    @cached_property
    def _steps(self) -> Steps:
        from .step import Steps

        return Steps(self)

    def new_cache(self) -> KVCache:
        """An empty cache for one conversation, or for one batch of them."""
        kinds, window = self.config.layer_types, self.config.sliding_window
        return KVCache([window if kind == "sliding_attention" else None for kind in kinds])

    def encode(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """Read [B, T] tokens behind the cached prefix, causally, and commit them to the cache.

        Returns the normalised last states [B, T, D] (`logits` of them is the next-token head).
        """
        batch, count = tokens.shape
        start, window = cache.length, self.config.sliding_window
        block = causal_block(start, 0, count, window, tokens.device)
        if start == 0:
            block = replace(block, full=Span(0, count, causal=True))
        positions = torch.arange(start, start + count, device=tokens.device).expand(batch, -1)
        view = View(count, count, cache, start, [block])
        states = self._read(self.embed(tokens), positions, [view])
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
        window, start = self.config.sliding_window, cache.length
        offsets = torch.arange(length, device=canvas.device)
        if prefix_lengths is None:
            positions = (offsets + start)[None].expand(batch, -1)
            block = self._canvas(start, length)
        else:
            positions = offsets[None] + prefix_lengths[:, None]
            slots = torch.arange(start + length, device=canvas.device)[None]  # [1, P + L]
            own = slots >= start
            full = own | (slots < prefix_lengths[:, None])  # [B, P + L]
            sliding = own | (full & (slots > prefix_lengths[:, None] - window))
            masks = (full[:, None, None], sliding[:, None, None])
            block = Block(0, length, *(Span(0, start + length, mask) for mask in masks))
        view = View(length, length, cache, start, [block], denoises=True)
        x = self.self_conditioning(self.embed(canvas), soft_embeddings)
        return self.logits(self._read(x, positions, [view]))

    def reading(self, tokens: Sequence[int], cache: KVCache, wanted: int | None = None) -> Pass:
        """The encoder's pass over tokens behind the cached text; the states of the last `wanted`
        are, by default of all. The cache has their keys, and takes them for its own once its length
        is advanced. What is negative stands for an image of the cache's; it is read in one pass."""
        count, start, device = len(tokens), cache.length, self.device
        images = [
            (first, self._soft_tokens(cache.images[tokens[first]], end - first))
            for first, end in image_runs(tokens)
        ]
        both_ways = self.config.use_bidirectional_attention == "vision"
        runs = [(first, first + len(soft)) for first, soft in images] if both_ways else []
        blocks = causal_blocks(start, count, self.config.sliding_window, device, runs)
        positions = torch.arange(start, start + count, device=device)
        view = View(count, wanted or count, cache, start, blocks)
        ids = torch.tensor([max(0, token) for token in tokens], device=device)
        return Pass(ids, positions, view, images=images)

    def branching(self, texts: Sequence[Sequence[int]], cache: KVCache) -> Pass:
        """The encoder's pass over several continuations of the cached text, one behind the other:
        each sees that text and itself, none another."""
        device, window, start = self.device, self.config.sliding_window, cache.length
        sizes = [len(text) for text in texts]
        tokens = torch.tensor([token for text in texts for token in text], device=device)
        owner = torch.arange(len(texts), device=device).repeat_interleave(
            torch.tensor(sizes, device=device)
        )
        positions = torch.cat([torch.arange(size, device=device) for size in sizes]) + start
        seen = torch.cat([torch.arange(start, device=device), positions])  # [P + T]
        own = (owner[:, None] == owner[None]) & (positions[None] <= positions[:, None])
        full = torch.cat([own.new_ones(len(tokens), start), own], dim=1)
        oldest = max(0, start - window + 1)
        sliding = (full & (seen[None] > positions[:, None] - window))[:, oldest:]
        count, end = len(tokens), start + len(tokens)
        spans = Span(0, end, full[None, None]), Span(oldest, end, sliding[None, None])
        return Pass(tokens, positions, View(count, count, cache, start, [Block(0, count, *spans)]))

    def drafting(
        self,
        canvas: Tensor,
        cache: KVCache,
        start: int,
        soft: Tensor | None = None,
        known: int = 0,
    ) -> Pass:
        """The denoiser's pass over a canvas [L] behind the first `start` tokens of a cached text,
        for the states behind those that are known."""
        length = len(canvas)
        blocks = [self._canvas(start, length)]
        view = View(length, length - known, cache, start, blocks, denoises=True)
        positions = torch.arange(start, start + length, device=canvas.device)
        return Pass(canvas, positions, view, soft)

    def run(self, passes: Sequence[Pass]) -> list[Tensor]:
        """Passes of any rows and of both kinds at once; the normalised last states of each, [T, D]
        of the tokens wanted.

        Only attention looks beyond a token, and it goes from row to row, each with the keys that
        it would have alone: so there is no padding, and neighbours do not matter.
        """
        if are_canvases(passes) and launches_on(self.device) and not torch.is_grad_enabled():
            return self._steps.run(passes)
        views = [one.view for one in passes]
        cut = [(view, view.cache.cut(view.start)) for view in views if view.denoises]
        try:
            x = torch.cat([self._entered(one) for one in passes])
            positions = torch.cat([one.positions for one in passes])
            states = self._read(x[None], positions[None], views)
        finally:  # also where memory ran out: the others' passes are run again
            for view, kept in cut:
                view.cache.put(kept)
        return list(states[0].split([view.wanted for view in views]))

    def canvases(
        self,
        canvases: Tensor,
        starts: Tensor,
        soft: Tensor,
        attend: Sequence[Callable[[Tensor, Tensor, Tensor], Tensor]],
    ) -> Tensor:
        """The normalised last states [B, L, D] of canvases [B, L] behind texts of `starts` [B]
        tokens, conditioned on `soft` [B, L, D] (zeros at the first step). `attend` has for each
        layer what makes of queries, keys and values of the canvases what they see.

        Its shapes are those of what it is given, and it never looks at the host.
        """
        positions = starts[:, None] + torch.arange(canvases.shape[1], device=canvases.device)
        rotary = self._rotary(positions)
        x = self.self_conditioning(self.embed(canvases), soft)
        for layer, seen in zip(self.stack, attend, strict=True):
            attention = layer.self_attn
            entered = layer.input_layernorm(x)
            found = seen(*attention.projected(entered, rotary[attention.sliding]))
            attended = linear(found.flatten(2), attention.o_proj.weight)
            x = layer.fed(x, attended, layer.denoiser_scalar)
        return self.norm(x)

    def _entered(self, one: Pass) -> Tensor:
        """What a pass's tokens go into the first layer as, [T, D]."""
        embedded = self.embed(one.tokens)
        for first, soft in one.images:
            embedded[first : first + len(soft)] = soft
        return self.self_conditioning(embedded, one.soft) if one.view.denoises else embedded

    def _soft_tokens(self, image: Patches, count: int) -> Tensor:
        """What stands for an image [S, D], which has `count` places in the text."""
        assert self.vision is not None
        soft = self.vision(image)
        assert len(soft) == count, "an image is read in one pass, whole"
        return soft

    def _canvas(self, start: int, length: int) -> Block:
        """What the tokens of a canvas see: each other, and a text of `start` tokens."""
        end = start + length
        oldest = max(0, start - self.config.sliding_window + 1)
        return Block(0, length, Span(0, end), Span(oldest, end))

    def _read(self, x: Tensor, positions: Tensor, views: Sequence[View]) -> Tensor:
        """The normalised last states [B, T, D] of what enters the first layer."""
        rotary = self._rotary(positions)
        *inner, last = self.stack
        for layer in inner:
            x = layer(x, rotary[layer.self_attn.sliding], views, False)
        x = last(x, rotary[last.self_attn.sliding], views, True)
        return self.norm(x)

    def outputs(self, states: Tensor) -> Tensor:
        """What the tied head makes of normalised states, before the soft-cap."""
        return linear(states, self.embed_tokens.weight)

    def tables(self, rows: int) -> tuple[Tensor, Tensor]:
        """Storage for two float32 tables [rows, V], which the next that asks for it overwrites:
        fresh pages take a CPU as long as a fifth of the head's product."""
        if self._tables is None or self._tables.shape[1] < rows:
            with torch.inference_mode(False):  # such storage may be written to in any mode
                self._tables = torch.empty(2, rows, self.config.vocab_size, device=self.device)
        return self._tables[0, :rows], self._tables[1, :rows]

    def logits(self, states: Tensor, out: Tensor | None = None) -> Tensor:
        """Soft-capped float32 logits [..., V] of normalised states [..., D], through the tied head;
        in the storage `out`, where there is some."""
        cap, weight = self.config.final_logit_softcapping, self.embed_tokens.weight
        if torch.is_grad_enabled():
            return torch.tanh(self.outputs(states).float() / cap) * cap
        if out is None:
            out = states.new_empty(*states.shape[:-1], len(weight), dtype=torch.float32)
        if weight.device.type != "cpu":
            return torch.div(self.outputs(states), cap, out=out).tanh_().mul_(cap)
        packed = self.packed_embedding
        rows = weight.split(HEAD_ROWS) if packed is None else packed.head
        for some, part in zip(rows, out.split(HEAD_ROWS, dim=-1), strict=True):
            capped(linear(states, some).float(), cap, part)
        return out

    def soften(self, probabilities: Tensor) -> Tensor:
        """The expected embedding [B, L, D] under a step's probabilities [B, L, V]."""
        weight, packed = self.embed_tokens.weight, self.packed_embedding
        if packed is not None:
            return packed.expected(probabilities).to(weight.dtype).mul_(self._scale(weight))
        return linear(probabilities.to(weight.dtype), weight.T) * self._scale(weight)

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
            if frequencies.device != positions.device:  # once, as a copy waits for the device
                frequencies = self._frequencies[kind] = frequencies.to(positions.device)
            angles = positions[..., None].float() * frequencies
            angles = torch.cat([angles, angles], dim=-1)[:, :, None]
            tables[kind == "sliding_attention"] = (angles.cos().to(dtype), angles.sin().to(dtype))
        return tables
