"""Tiny random checkpoints saved by `transformers`, and the reference model beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gesso.engine.training.vocabulary import write_tokenizer
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    DiffusionGemmaTextConfig,
    Gemma4VisionConfig,
)

TEMPLATE = Path(__file__).parents[2] / "engine" / "sketch" / "chat_template.jinja"
VOCABULARY = 600
PATCH, POOL, SOFT_TOKENS = 4, 3, 70
"""Pixels of a patch's side, patches of a square's, and squares of an image, at most."""


@dataclass(frozen=True)
class Shape:
    """One tiny model; `layers` names sliding (`s`) and full (`f`) layers."""

    name: str
    layers: str = "sfsf"
    heads: int = 4
    groups: int = 2
    full_groups: int = 1
    experts: int = 4
    top_k: int = 2
    window: int = 8
    canvas: int = 12
    both_ways: bool = True
    clipped: bool = False
    standardized: bool = True


SHAPES = [
    Shape("grouped heads, window shorter than the prompt"),
    Shape("one full layer", layers="f", window=64),
    Shape("five sliding to one full", layers="sssssf", groups=4, full_groups=2, canvas=16),
    Shape("one expert", layers="sf", experts=1, top_k=1, window=5),
    Shape("many experts", layers="ff", experts=16, top_k=8, heads=2, groups=2, full_groups=2),
]


def write_vocabulary(file: Path) -> dict[str, int]:
    """A tokenizer with the markers of images; its control tokens, by their text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(file, ["total", "company"])
    data = json.loads(file.read_text())
    for number, text in enumerate(["<|image>", "<image|>", "<|image|>"]):
        data["added_tokens"].append(
            data["added_tokens"][0] | {"id": size + number, "content": text}
        )
    file.write_text(json.dumps(data))
    return {entry["content"]: entry["id"] for entry in data["added_tokens"] if entry["special"]}


def seeing(template: str) -> str:
    """A chat template with images in a user's turn, written as Gemma 4's own writes them."""
    macro = """{%- macro parts(content) -%}
    {%- if content is string -%}{{ content | trim }}
    {%- else -%}
        {%- for part in content -%}
            {{ '<|image|>' if part.type == 'image' else part.text | trim }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
"""
    plain = "<|turn>user{{ '\\n' }}{{ message.content | trim }}"
    assert plain in template
    seen = plain.replace("message.content | trim", "parts(message.content)")
    return macro + template.replace(plain, seen)


def save_checkpoint(folder: Path, shape: Shape, seed: int = 0) -> DiffusionGemmaForBlockDiffusion:
    """Write a random checkpoint with `save_pretrained`; returns the reference model."""
    torch.manual_seed(seed)
    kinds = {"s": "sliding_attention", "f": "full_attention"}
    full_layers: dict[str, Any] = {
        "global_head_dim": 16,
        "num_global_key_value_heads": shape.full_groups,
    }
    text = DiffusionGemmaTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=len(shape.layers),
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        head_dim=8,
        num_experts=shape.experts,
        top_k_experts=shape.top_k,
        moe_intermediate_size=16,
        sliding_window=shape.window,
        max_position_embeddings=1024,
        layer_types=[kinds[kind] for kind in shape.layers],
        initializer_range=0.5,
        use_bidirectional_attention="vision" if shape.both_ways else None,
        **full_layers,
    )
    vision = Gemma4VisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        patch_size=PATCH,
        pooling_kernel_size=POOL,
        position_embedding_size=POOL * SOFT_TOKENS,
        use_clipped_linears=shape.clipped,
        standardize=shape.standardized,
        initializer_range=0.5,
    )
    controls = write_vocabulary(folder / "tokenizer.json")
    config = DiffusionGemmaConfig(
        text_config=text,
        vision_config=vision,
        canvas_length=shape.canvas,
        boi_token_id=controls["<|image>"],
        eoi_token_id=controls["<image|>"],
        image_token_id=controls["<|image|>"],
    )
    model = DiffusionGemmaForBlockDiffusion(config).eval()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if "layer_scalar" in name:
                buffer.fill_(float(torch.rand(())) + 0.5)
            elif name.endswith(("_min", "_max")):
                buffer.fill_(-0.8 if name.endswith("_min") else 0.8)
            elif "std_" in name:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
        for name, parameter in model.named_parameters():
            if "norm" in name or "scale" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            elif "position_embedding_table" in name:
                parameter.copy_(torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "processor_config.json").write_text(
        json.dumps(
            {
                "image_processor": {
                    "max_soft_tokens": SOFT_TOKENS,
                    "patch_size": PATCH,
                    "pooling_kernel_size": POOL,
                }
            }
        )
    )
    (folder / "chat_template.jinja").write_text(seeing(TEMPLATE.read_text()))
    ends = [controls["<eos>"], controls["<turn|>"], controls["<|tool_response>"]]
    (folder / "generation_config.json").write_text(
        json.dumps(
            {
                "eos_token_id": ends,
                "pad_token_id": 0,
                "max_denoising_steps": 6,
                "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
                "t_min": 0.4,
                "t_max": 0.8,
                "stability_threshold": 1,
                "confidence_threshold": 0.005,
            }
        )
    )
    return model
