"""LLaDA beside its reference, on random weights: what is read, and what is said of a folder that
cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gesso.engine import CheckpointError
from gesso.engine.checkpoint import load_weights
from gesso.engine.config import read_file
from gesso.engine.llada import LLaDA, LLaDAConfig
from masked_oracle import (
    MASK,
    MASKED_SHAPES,
    VOCABULARY,
    MaskedShape,
    reference_logits,
    save_llada,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

QUERY = "model.transformer.blocks.1.q_proj.weight"
ADAPTER = "adapter_model.safetensors"
HEAD = "model.transformer.ff_out.weight"


def read(folder: Path, **options: Any) -> LLaDA:
    config = read_file(folder / "config.json", LLaDAConfig)
    return load_weights(folder, config, torch.float32, **options)


def random_text(length: int) -> Tensor:
    tokens = torch.randint(VOCABULARY, (length,))
    tokens[torch.rand(length) < 0.3] = MASK
    return tokens


@pytest.mark.parametrize("shape", MASKED_SHAPES, ids=lambda shape: shape.name)
@torch.inference_mode()
def test_logits_agree_with_the_reference(tmp_path: Path, shape: MaskedShape) -> None:
    reference = save_llada(tmp_path, shape)
    ours = read(tmp_path)
    for length in (1, 7, 40):
        tokens = random_text(length)
        (states,) = ours.run([ours.reading(tokens, length)])
        expected = reference_logits(reference, tokens)
        assert (ours.logits(states) - expected).abs().max() < 1e-4


PUBLISHED = {
    "model_type": "llada",
    "d_model": 4096,
    "n_layers": 32,
    "n_heads": 32,
    "n_kv_heads": 32,
    "mlp_hidden_size": 12288,
    "vocab_size": 126464,
    "embedding_size": 126464,
    "max_sequence_length": 4096,
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-05,
    "weight_tying": False,
    "mask_token_id": 126336,
    "eos_token_id": 126081,
    "pad_token_id": 126081,
    "activation_type": "silu",
    "alibi": False,
    "attention_layer_norm": False,
    "bias_for_layer_norm": False,
    "block_group_size": 1,
    "block_type": "llama",
    "include_bias": False,
    "include_qkv_bias": False,
    "input_emb_norm": False,
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "mlp_ratio": 4,
    "multi_query_attention": None,
    "rope": True,
    "scale_logits": False,
}
"""Of `config.json` of GSAI-ML/LLaDA-8B-Instruct, what is of the model's shape."""


def test_the_published_checkpoint_has_room_for_its_bytes() -> None:
    config = LLaDAConfig.model_validate(PUBLISHED)
    with torch.device("meta"):
        model = LLaDA(config).to(torch.bfloat16)
    size = sum(weight.numel() * weight.itemsize for weight in model.parameters())
    assert size == 16_031_162_368  # `total_size` in its `model.safetensors.index.json`


@torch.inference_mode()
def test_every_token_sees_every_other(tmp_path: Path) -> None:
    save_llada(tmp_path)
    ours = read(tmp_path)
    tokens = random_text(20)
    changed = tokens.clone()
    changed[-1] = (changed[-1] + 1) % VOCABULARY
    before, after = ours.run([ours.reading(one, 20) for one in (tokens, changed)])
    assert not (before == after).all(dim=1).any()


@torch.inference_mode()
def test_texts_read_together_are_read_as_if_alone(tmp_path: Path) -> None:
    save_llada(tmp_path, MASKED_SHAPES[1])
    ours = read(tmp_path)
    passes = [
        ours.reading(random_text(length), wanted)
        for length, wanted in ((3, 2), (40, 40), (12, 1), (9, 5), (80, 16))
    ]
    for one, states in zip(passes, ours.run(passes), strict=True):
        assert len(states) == one.view.wanted
        assert torch.equal(ours.run([one])[0], states)


@torch.inference_mode()
def test_the_last_states_are_the_same_whatever_else_is_wanted(tmp_path: Path) -> None:
    save_llada(tmp_path)
    ours = read(tmp_path)
    tokens = random_text(30)
    (whole,) = ours.run([ours.reading(tokens, 30)])
    (last,) = ours.run([ours.reading(tokens, 11)])
    assert (whole[-11:] - last).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["int8", "int4"])
@torch.inference_mode()
def test_weights_may_be_quantised_as_they_are_read(tmp_path: Path, kind: Any) -> None:
    save_llada(tmp_path)
    plain, small = read(tmp_path), read(tmp_path, quantize=kind)
    assert torch.equal(plain.embed_tokens.weight, small.embed_tokens.weight)
    assert not isinstance(small.stack[0].self_attn.qkv_proj.weight, Tensor)
    tokens = random_text(24)
    one, other = (model.run([model.reading(tokens, 24)])[0] for model in (plain, small))
    near = torch.cosine_similarity(one, other, dim=1).mean()
    # 7 bits a weight and 8 an activation, as a CPU multiplies them
    assert near > (0.995 if kind == "int8" else 0.9)


@torch.inference_mode()
def test_an_adapter_is_merged_as_it_is_read(tmp_path: Path) -> None:
    save_llada(tmp_path / "base")
    module, folder = "model.transformer.blocks.1.v_proj", tmp_path / "lora"
    folder.mkdir()
    down, up = torch.randn(2, 32), torch.randn(32, 2)
    prefix = f"base_model.model.{module}.lora_"
    save_file({f"{prefix}A.weight": down, f"{prefix}B.weight": up}, folder / ADAPTER)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "lora_alpha": 3, "r": 2})
    )
    plain, adapted = read(tmp_path / "base"), read(tmp_path / "base", adapter=folder)
    added = adapted.stack[1].self_attn.qkv_proj.weight - plain.stack[1].self_attn.qkv_proj.weight
    assert not added[:64].any()
    assert torch.allclose(added[64:], 1.5 * up @ down, atol=1e-5)


def test_shards_are_read_one_by_one(tmp_path: Path) -> None:
    save_llada(tmp_path)
    whole = read(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = sorted(tensors)
    for number in range(3):
        part = {name: tensors[name] for name in names[number::3]}
        save_file(part, tmp_path / f"model-0000{number + 1}-of-00003.safetensors")
    for one, other in zip(
        whole.state_dict().values(), read(tmp_path).state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def without(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without(QUERY), f"tensor {QUERY} is missing"),
        (without(HEAD), f"tensor {HEAD} is missing"),
        (lambda tensors: tensors | {"model.transformer.wpe.weight": torch.ones(1)}, "wpe.weight"),
        (lambda tensors: tensors | {QUERY: torch.ones(3, 4)}, f"{QUERY} has shape [3, 4]"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], complaint: str
) -> None:
    save_llada(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file(change(load_file(file)), file)
    with pytest.raises(CheckpointError) as raised:
        read(tmp_path)
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("include_bias", True),
        ("layer_norm_type", "default"),
        ("activation_type", "swiglu"),
        ("block_type", "sequential"),
        ("attention_layer_norm", True),
        ("alibi", True),
        ("scale_logits", True),
        ("mask_token_id", None),
    ],
)
def test_a_model_that_is_not_llada_is_refused_field_by_field(
    tmp_path: Path, field: str, value: Any
) -> None:
    save_llada(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(CheckpointError, match=f"config.json: {field}: "):
        read(tmp_path)
