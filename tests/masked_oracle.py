"""Tiny random LLaDA checkpoints in the published layout, and what they should do beside them: the
reference's model as `transformers`' Llama that looks both ways, the reference's sampler as it was
published (`generate.py` of github.com/ML-GSAI/LLaDA), slow and obvious.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gesso.engine.checkpoint import SKETCH
from gesso.engine.training.vocabulary import write_tokenizer
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 600
MASK = 590
"""An id that no token of the tests' tokenizer has."""
LLADA_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content ="
    " '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim"
    " + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
"""The published one, from `tokenizer_config.json`."""
_RENAMED = {
    "model.embed_tokens": "model.transformer.wte",
    "model.norm": "model.transformer.ln_f",
    "lm_head": "model.transformer.ff_out",
    "model.layers": "model.transformer.blocks",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}


@dataclass(frozen=True)
class MaskedShape:
    """One tiny model."""

    name: str
    layers: int = 2
    heads: int = 4
    groups: int = 4
    tied: bool = False


MASKED_SHAPES = [
    MaskedShape("as published"),
    MaskedShape("grouped heads", groups=2),
    MaskedShape("a tied head", layers=1, tied=True),
]


def save_llada(
    folder: Path, shape: MaskedShape = MASKED_SHAPES[0], seed: int = 0, **generation: Any
) -> LlamaForCausalLM:
    """Write a random checkpoint; returns the reference model."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        tie_word_embeddings=shape.tied,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
        # no trained model predicts a mask: the reference would leave it standing
        model.lm_head.weight[MASK] = 0.0
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        published(name): tensor.clone()
        for name, tensor in model.state_dict().items()
        if not (shape.tied and name.startswith("lm_head"))
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_tokenizer(folder / "tokenizer.json", ["total", "company"])
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    controls = {entry["content"]: entry["id"] for entry in added}
    told = {
        "model_type": "llada",
        "architectures": ["LLaDAModelLM"],
        "d_model": 32,
        "n_layers": shape.layers,
        "n_heads": shape.heads,
        "n_kv_heads": shape.groups,
        "mlp_hidden_size": 48,
        "vocab_size": VOCABULARY,
        "embedding_size": VOCABULARY,
        "max_sequence_length": 1024,
        "rope": True,
        "rope_theta": 500000.0,
        "rms_norm_eps": 1e-5,
        "weight_tying": shape.tied,
        "mask_token_id": MASK,
        "eos_token_id": controls["<eos>"],
        "pad_token_id": controls["<eos>"],
        "block_type": "llama",
        "layer_norm_type": "rms",
        "activation_type": "silu",
        "include_bias": False,
        "include_qkv_bias": False,
        "bias_for_layer_norm": False,
        "attention_layer_norm": False,
        "alibi": False,
    }
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": controls["<turn|>"]} | generation)
    )
    (folder / "chat_template.jinja").write_text((SKETCH / "chat_template.jinja").read_text())
    return model


def published(name: str) -> str:
    """A tensor of `transformers`' Llama under the name that LLaDA's has."""
    for ours, theirs in _RENAMED.items():
        name = name.replace(ours, theirs)
    return name


def reference_logits(model: LlamaForCausalLM, tokens: Tensor) -> Tensor:
    """Logits [T, V] of a text [T] of which every token sees every other."""
    everything = torch.ones(1, 1, len(tokens), len(tokens), dtype=torch.bool)
    found: Any = model(input_ids=tokens[None], attention_mask=everything, use_cache=False)
    return found.logits[0]


def reference_sample(
    logits_of: Callable[[Tensor], Tensor],
    prompt: Tensor,
    *,
    steps: int,
    gen_length: int,
    block_length: int,
    mask: int,
    temperature: float = 0.0,
    cfg_scale: float = 0.0,
    uniforms: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """Prompt and answer [T] as the reference writes them; `uniforms` are its random numbers, of the
    block that is written."""
    x = torch.full((len(prompt) + gen_length,), mask)
    x[: len(prompt)] = prompt
    steps_a_block = steps // (gen_length // block_length)
    for first in range(len(prompt), len(x), block_length):
        end = first + block_length
        waiting = int((x[first:end] == mask).sum())
        for step in range(steps_a_block):
            count = waiting // steps_a_block + (step < waiting % steps_a_block)
            if cfg_scale:
                blind = x.clone()
                blind[: len(prompt)] = mask
                blind_logits = logits_of(blind)
                logits = blind_logits + (cfg_scale + 1) * (logits_of(x) - blind_logits)
            else:
                logits = logits_of(x)
            logits = logits.double()
            noised = logits.exp()
            if temperature:
                assert uniforms is not None
                noised[first:end] /= (-uniforms(block_length).log()) ** temperature
            best = noised.argmax(-1)
            confidence = logits.softmax(-1).gather(1, best[:, None])[:, 0]
            confidence[end:] = -torch.inf
            confidence[x != mask] = -torch.inf
            chosen = confidence.topk(count).indices
            x[chosen] = best[chosen]
    return x
