"""LLaDA in plain torch: a LLaMA that looks both ways, and predicts what stands under its masks.

There is one kind of pass. It reads a whole text, prompt, answer and mask tokens, and every token
sees every other: so a token that changes changes the states of all, nothing of a pass holds for the
next one, and there is no cache. (arXiv 2502.09992, section 2; the reference is `modeling_llada.py`
of GSAI-ML/LLaDA-8B-Instruct on the hub, `LLaDALlamaBlock` in it.)

This file knows token ids and nothing of text, sampling or constraints. Projections that read the
same input are stored stacked (`qkv_proj`, `gate_up_proj`): `checkpoint.py` knows their published
names.

Letters in shapes: T tokens, D hidden, H heads, G key-value heads, K head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import KVCache
from .config import Published, Rotary
from .model import RMSNorm, linear, rotary_frequencies, rotate
from .views import Block, Pass, Span, View

RotaryTable = tuple[Tensor, Tensor]
"""cos and sin, each float32 [T, 1, K]."""


class LLaDAConfig(Published):
    """`config.json` of a LLaDA checkpoint (`configuration_llada.py` on the hub).

    The published code is OLMo's and builds many other models too: what no LLaDA checkpoint says is
    refused, field by field.
    """

    model_type: Literal["llada"]
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    mlp_hidden_size: int
    embedding_size: int
    max_sequence_length: int
    rope_theta: float
    rms_norm_eps: float = 1e-5
    weight_tying: bool
    mask_token_id: int
    eos_token_id: int
    pad_token_id: int

    block_type: Literal["llama"]
    layer_norm_type: Literal["rms"]
    activation_type: Literal["silu"]
    rope: Literal[True]
    include_bias: Literal[False]
    include_qkv_bias: Literal[False] = False
    bias_for_layer_norm: Literal[False] | None = None
    layer_norm_with_affine: Literal[True] = True
    attention_layer_norm: Literal[False] = False
    multi_query_attention: Literal[False] | None = None
    alibi: Literal[False] = False
    input_emb_norm: Literal[False] = False
    scale_logits: Literal[False] = False
    block_group_size: Literal[1] = 1

    @property
    def vocab_size(self) -> int:
        """Tokens that the model has an embedding of; the tokenizer may have fewer."""
        return self.embedding_size

    @property
    def context_length(self) -> int:
        """Prompt and answer together, in tokens."""
        return self.max_sequence_length

    @property
    def head_size(self) -> int:
        """Width of an attention head."""
        return self.d_model // self.n_heads

    @property
    def trained_tail(self) -> bool:
        """Fine-tuning fills a short answer up with end tokens and learns them as any other (arXiv
        2502.09992, section 2.3): their probabilities behind an end mean something."""
        return True


class Attention(nn.Module):
    """Every token of a text sees every other."""

    def __init__(self, config: LLaDAConfig) -> None:
        super().__init__()
        self.heads = config.n_heads
        self.groups = config.n_kv_heads or config.n_heads
        self.head_size = config.head_size
        width = (self.heads + 2 * self.groups) * self.head_size
        self.qkv_proj = nn.Linear(config.d_model, width, bias=False)
        self.o_proj = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Tensor, rotary: RotaryTable, views: Sequence[View], last: bool) -> Tensor:
        """[T, D] of all texts, one behind the other, in and out; in the `last` layer the tokens
        wanted come out."""
        projected = linear(x, self.qkv_proj.weight).view(len(x), -1, self.head_size)
        q, k, v = projected.split([self.heads, self.groups, self.groups], dim=1)  # [T, H, K]
        q, k = (rotate(one.float(), *rotary).type_as(one) for one in (q, k))
        sizes = [view.tokens for view in views]
        rows = zip(q.split(sizes), k.split(sizes), v.split(sizes), views, strict=True)
        attended = [self._attended(*row, last=last) for row in rows]
        return linear(torch.cat(attended), self.o_proj.weight)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, view: View, *, last: bool) -> Tensor:
        """What the tokens of one text see of it, [T, D]."""
        seen = F.scaled_dot_product_attention(
            _by_head(q[-view.wanted :] if last else q),
            _by_head(k),
            _by_head(v),
            enable_gqa=self.groups != self.heads,
        )
        return seen[0].transpose(0, 1).flatten(1)


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, hidden: int, intermediate: int) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(hidden, 2 * intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = linear(x, self.gate_up_proj.weight).chunk(2, dim=-1)
        return linear(F.silu(gate) * up, self.down_proj.weight)


class Layer(nn.Module):
    """Attention, then an MLP, each behind a norm and added to what it read."""

    def __init__(self, config: LLaDAConfig) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(config.d_model, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.ff_norm = RMSNorm(config.d_model, config.rms_norm_eps)
        self.mlp = GatedMLP(config.d_model, config.mlp_hidden_size)

    def forward(self, x: Tensor, rotary: RotaryTable, views: Sequence[View], last: bool) -> Tensor:
        """[T, D] in and out; the `last` layer's are those wanted of it."""
        attended = self.self_attn(self.attn_norm(x), rotary, views, last)
        if last:
            rows = zip(x.split([view.tokens for view in views]), views, strict=True)
            x = torch.cat([row[-view.wanted :] for row, view in rows])
        x = x + attended
        return x + self.mlp(self.ff_norm(x))


class LLaDA(nn.Module):
    """The mask predictor."""

    def __init__(self, config: LLaDAConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.embedding_size, config.d_model)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.d_model, config.rms_norm_eps)
        self.head = None
        if not config.weight_tying:
            self.head = nn.Linear(config.d_model, config.embedding_size, bias=False)
        rotary = Rotary(rope_theta=config.rope_theta)
        self._frequencies = rotary_frequencies(rotary, config.head_size)

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
        """What states are kept in."""
        return self.embed_tokens.weight.dtype

    def reading(self, text: Tensor, wanted: int) -> Pass:
        """The pass over a whole text [T], for the states of its last `wanted` tokens."""
        count = len(text)
        everything = Span(0, count)
        blocks = [Block(0, count, everything, everything)]
        view = View(count, wanted, KVCache([]), 0, blocks, denoises=True)
        return Pass(text, torch.arange(count, device=self.device), view)

    def run(self, passes: Sequence[Pass]) -> list[Tensor]:
        """Passes over any texts at once; the normalised last states of each, [T, D] of the tokens
        wanted.

        Only attention looks beyond a token, and it goes from text to text: so there is no padding,
        and neighbours do not matter.
        """
        views = [one.view for one in passes]
        x = self.embed_tokens(torch.cat([one.tokens for one in passes]))
        rotary = self._rotary(torch.cat([one.positions for one in passes]))
        *inner, last = self.stack
        for layer in inner:
            x = layer(x, rotary, views, False)
        x = self.norm(last(x, rotary, views, True))
        return list(x.split([view.wanted for view in views]))

    def logits(self, states: Tensor) -> Tensor:
        """Float32 logits [T, V] of normalised states [T, D]."""
        head = self.embed_tokens if self.head is None else self.head
        return linear(states, head.weight).float()

    def _rotary(self, positions: Tensor) -> RotaryTable:
        angles = positions[:, None].float() * self._frequencies.to(positions.device)
        angles = torch.cat([angles, angles], dim=-1)[:, None]
        return angles.cos(), angles.sin()


def _by_head(x: Tensor) -> Tensor:
    """[T, H, K] as attention reads it, [1, H, T, K]."""
    return x.transpose(0, 1)[None]
