"""LoRA adapters as PEFT writes them, merged as PEFT merges them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gesso.engine import CheckpointError, load_engine
from gesso.engine.checkpoint import load_weights
from gesso.engine.config import read_config
from oracle import Shape, save_checkpoint
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import DiffusionGemmaForBlockDiffusion

TEXT = r"model\.(decoder|encoder\.language_model)"
PROJECTIONS = rf"{TEXT}\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
# of transformers' own, when PEFT asks it
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is:FutureWarning")
SHAPE = Shape("tiny", layers="sf")


def save_adapter(base: Path, folder: Path, **config: Any) -> DiffusionGemmaForBlockDiffusion:
    """Write a random adapter with PEFT; the reference with it merged."""
    model = DiffusionGemmaForBlockDiffusion.from_pretrained(base)
    options = {"r": 4, "lora_alpha": 12, "target_modules": PROJECTIONS, **config}
    adapted = get_peft_model(model, LoraConfig(**options))  # pyright: ignore[reportArgumentType]
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
    adapted.save_pretrained(str(folder))
    merged: Any = adapted.merge_and_unload()
    return merged


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_rslora": True},
        {"target_modules": r".*decoder\.layers\.1\.self_attn\.(q|o)_proj"},
        {"target_modules": r".*encoder\.language_model.*\.mlp\.up_proj"},
        {"alpha_pattern": {"q_proj": 3}, "rank_pattern": {"o_proj": 2}},
    ],
    ids=["both passes", "rsLoRA", "the denoiser's", "the encoder's", "patterns"],
)
def test_an_adapter_is_merged_as_peft_does(tmp_path: Path, config: Any) -> None:
    base, folder = tmp_path / "base", tmp_path / "lora"
    save_checkpoint(base, SHAPE)
    reference = save_adapter(base, folder, **config)
    ours = load_weights(base, read_config(base / "config.json"), torch.float32, adapter=folder)
    plain = load_weights(base, read_config(base / "config.json"), torch.float32)
    state = reference.state_dict()
    for layer, mine in enumerate(ours.stack):
        prefix = f"model.decoder.layers.{layer}."
        parts = ["q", "k", "v"] if mine.self_attn.sliding else ["q", "k"]
        stacked = torch.cat([state[f"{prefix}self_attn.{part}_proj.weight"] for part in parts])
        assert torch.allclose(mine.self_attn.qkv_proj.weight, stacked, atol=1e-6)
        gated = [state[f"{prefix}mlp.{part}_proj.weight"] for part in ("gate", "up")]
        assert torch.allclose(mine.mlp.gate_up_proj.weight, torch.cat(gated), atol=1e-6)
    changed = zip(ours.parameters(), plain.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in changed)


def test_an_engine_with_an_adapter_has_another_digest(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "lora"
    save_checkpoint(base, SHAPE)
    save_adapter(base, folder)
    with_it = load_engine(base, adapter=folder)
    assert with_it.digest != load_engine(base).digest
    assert load_engine(base, adapter=folder, quantize="int8").digest != with_it.digest


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("peft_type", "IA3", "peft_type is IA3"),
        ("use_dora", True, "use_dora is set"),
        ("modules_to_save", ["lm_head"], "modules_to_save is set"),
        ("bias", "all", "biases"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(
    tmp_path: Path, field: str, value: Any, complaint: str
) -> None:
    base, folder = tmp_path / "base", tmp_path / "lora"
    save_checkpoint(base, SHAPE)
    save_adapter(base, folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(CheckpointError, match=complaint):
        load_engine(base, adapter=folder)


def test_an_adapter_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    base, other, folder = tmp_path / "base", tmp_path / "other", tmp_path / "lora"
    save_checkpoint(base, SHAPE)
    save_checkpoint(other, Shape("longer", layers="sfs", heads=2))
    save_adapter(other, folder)
    with pytest.raises(CheckpointError, match="it belongs to another checkpoint"):
        load_engine(base, adapter=folder)
    save_checkpoint(other, Shape("longer", layers="sfs"))
    save_adapter(other, folder)
    with pytest.raises(CheckpointError, match=r"has no model\.decoder\.layers\.2.* to add to"):
        load_engine(base, adapter=folder)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "lora"
    save_checkpoint(base, SHAPE)
    save_adapter(base, folder)
    file = folder / "adapter_model.safetensors"
    stored = load_file(file)
    one = next(name for name in stored if "lora_A" in name)
    save_file({name: part for name, part in stored.items() if name != one}, file)
    with pytest.raises(CheckpointError, match="only one of lora_A and lora_B"):
        load_engine(base, adapter=folder)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        load_engine(base, adapter=folder)
    file.unlink()
    with pytest.raises(CheckpointError, match="there is no adapter_model"):
        load_engine(base, adapter=folder)
    with pytest.raises(CheckpointError, match="there is no adapter_config"):
        load_engine(base, adapter=tmp_path / "nowhere")
