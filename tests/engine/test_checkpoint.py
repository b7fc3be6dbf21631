"""Reading checkpoint folders: the published layouts, and what is said of a broken one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gesso.engine import CheckpointError, load_engine
from gesso.engine.checkpoint import load_weights, save_weights
from gesso.engine.config import read_config
from oracle import Shape, save_checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion

SCALAR = "model.encoder.language_model.layers.0.layer_scalar"
QUERY = "model.decoder.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, Shape("tiny", layers="sf"))
    return tmp_path


def read(folder: Path) -> Any:
    return load_weights(folder, read_config(folder / "config.json"), torch.float32)


def test_sharded_and_single_files_hold_the_same_weights(folder: Path, tmp_path: Path) -> None:
    whole = read(folder)
    reference = DiffusionGemmaForBlockDiffusion.from_pretrained(folder)
    sharded = tmp_path / "sharded"
    reference.save_pretrained(sharded, max_shard_size="20KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    again = read(sharded)
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_we_write_the_reference_reads(folder: Path) -> None:
    ours = read(folder)
    stored = load_file(folder / "model.safetensors")
    save_weights(ours, folder / "model.safetensors", torch.float32)
    written = load_file(folder / "model.safetensors")
    assert written.keys() == stored.keys()
    reference = DiffusionGemmaForBlockDiffusion.from_pretrained(folder)
    for name, tensor in reference.state_dict().items():
        if name in stored:
            assert torch.equal(tensor, stored[name]), name


def test_older_files_state_the_full_layers_shape_in_two_fields(folder: Path) -> None:
    before = read_config(folder / "config.json").text_config
    data = json.loads((folder / "config.json").read_text())
    del data["text_config"]["per_layer_config"]
    data["text_config"] |= {"global_head_dim": 16, "num_global_key_value_heads": 1}
    (folder / "config.json").write_text(json.dumps(data))
    assert read_config(folder / "config.json").text_config == before


def without(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without(SCALAR), f"tensor {SCALAR} is missing"),
        (without(QUERY), f"tensor {QUERY} is missing"),
        (lambda tensors: tensors | {"model.decoder.extra": torch.ones(1)}, "model.decoder.extra"),
        (lambda tensors: tensors | {QUERY: torch.ones(3, 4)}, f"{QUERY} has shape [3, 4]"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], complaint: str
) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file)
    with pytest.raises(CheckpointError) as raised:
        read(folder)
    assert complaint in str(raised.value)


def test_a_cut_off_file_names_the_tensor_that_it_cuts(folder: Path) -> None:
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cut off inside tensor model"):
        read(folder)
    file.write_bytes(data[:100])
    with pytest.raises(CheckpointError, match="header is damaged"):
        read(folder)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_text(text)

    return damage


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (remove("config.json"), "there is no config.json"),
        (remove("tokenizer.json"), "there is no tokenizer.json"),
        (remove("chat_template.jinja"), "there is no chat_template.jinja"),
        (remove("model.safetensors"), "no *.safetensors files"),
        (write("config.json", "{"), "not valid JSON"),
        (write("config.json", '{"model_type": "llama"}'), "model_type"),
        (write("generation_config.json", '{"t_max": -1}'), "t_max"),
        (write("tokenizer.json", "{}"), "not a tokenizer file"),
        (write("chat_template.jinja", "{% if %}"), "not a valid chat template"),
    ],
)
def test_a_damaged_folder_is_refused_with_the_file_named(
    folder: Path, damage: Callable[[Path], None], complaint: str
) -> None:
    damage(folder)
    with pytest.raises(CheckpointError) as raised:
        load_engine(folder)
    assert complaint in str(raised.value)


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="no such folder"):
        load_engine(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="this is a file"):
        load_engine(tmp_path / "file")
