"""Checkpoint folders: finding them, reading them shard by shard, writing one.

The layout is the published one (`config.json`, `*.safetensors` with an optional index). Tensors
go straight from the mapped file into the model's own storage, one at a time. What does not fit is
an error that names the tensor; the vision tower's tensors are recognised and left unread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .config import ModelConfig
from .errors import CheckpointError
from .model import DiffusionGemma

SKETCH = Path(__file__).parent / "sketch"
"""The bundled checkpoint."""

_FILES = ["*.json", "*.jinja", "*.safetensors"]
_VISION = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")
_TIED = ("lm_head.", "model.encoder.language_model.")


def locate(model: str | Path, *, download: bool = True) -> Path:
    """The folder of a checkpoint: `"sketch"`, a local folder, or a hub id to be downloaded, unless
    only what was downloaded before is asked for.

    Raises:
        CheckpointError: there is no such folder, and the hub does not have it or is out of reach.
    """
    if model == "sketch":
        return SKETCH
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder}: a checkpoint is a folder, this is a file")
    if folder.is_absolute() or str(model).count("/") != 1 or str(model).startswith("."):
        raise CheckpointError(f"{model}: no such folder")
    try:
        found = snapshot_download(str(model), allow_patterns=_FILES, local_files_only=not download)
        return Path(found)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{model}: not a local folder, and the hub did not give it ({reason})"
        ) from None


@dataclass(frozen=True)
class _Slot:
    """Where one published tensor lives in the model: a tensor, and its rows if it is stacked."""

    target: Tensor
    rows: slice

    def view(self) -> Tensor:
        return self.target[self.rows]


def _slots(model: DiffusionGemma) -> dict[str, _Slot]:
    """Every published tensor name of the text model, with its place."""
    slots: dict[str, _Slot] = {}

    def add(name: str, target: Tensor, start: int = 0, rows: int | None = None) -> None:
        stop = target.shape[0] if rows is None else start + rows
        slots[name] = _Slot(target.detach(), slice(start, stop))

    def add_gated(name: str, gate_up: Tensor, down: Tensor) -> None:
        half = gate_up.shape[0] // 2
        add(f"{name}gate_proj.weight", gate_up, 0, half)
        add(f"{name}up_proj.weight", gate_up, half, half)
        add(f"{name}down_proj.weight", down)

    add("model.decoder.embed_tokens.weight", model.embed_tokens.weight)
    for parameter, value in model.named_parameters():
        if parameter.endswith("norm.weight") or "layernorm" in parameter:
            add(f"model.decoder.{parameter}", value)
    conditioning = model.self_conditioning.mlp
    add_gated(
        "model.decoder.self_conditioning.",
        conditioning.gate_up_proj.weight,
        conditioning.down_proj.weight,
    )
    for index, layer in enumerate(model.stack):
        prefix = f"model.decoder.layers.{index}."
        attention, start = layer.self_attn, 0
        groups = ["k", "v"] if attention.sliding else ["k"]
        for part, heads in [("q", attention.heads), *((key, attention.groups) for key in groups)]:
            rows = heads * attention.head_size
            name = f"{prefix}self_attn.{part}_proj.weight"
            add(name, attention.qkv_proj.weight, start, rows)
            start += rows
        add(f"{prefix}self_attn.o_proj.weight", attention.o_proj.weight)
        add_gated(f"{prefix}mlp.", layer.mlp.gate_up_proj.weight, layer.mlp.down_proj.weight)
        add(f"{prefix}router.proj.weight", layer.router.proj.weight)
        add(f"{prefix}router.scale", layer.router.scale)
        add(f"{prefix}router.per_expert_scale", layer.router.per_expert_scale)
        add(f"{prefix}experts.gate_up_proj", layer.experts.gate_up_proj)
        add(f"{prefix}experts.down_proj", layer.experts.down_proj)
        add(f"{prefix}layer_scalar", layer.denoiser_scalar)
        encoder = f"model.encoder.language_model.layers.{index}.layer_scalar"
        add(encoder, layer.encoder_scalar)
    return slots


def load_weights(folder: Path, config: ModelConfig, dtype: torch.dtype) -> DiffusionGemma:
    """Build the model on the CPU and fill it from the folder's safetensors files.

    Raises:
        CheckpointError: a file cannot be read, or a tensor is missing, unknown, truncated or of
            another shape than the configuration says; the message names it.
    """
    with torch.device("meta"):
        model = DiffusionGemma(config.text_config)
    model = model.to(dtype).to_empty(device="cpu").eval().requires_grad_(False)
    missing = _slots(model)
    for file, name in _stored(folder):
        if name.startswith(_VISION):
            continue
        slot = missing.pop(name, None)
        if slot is None:
            if name.startswith(_TIED):
                continue
            raise CheckpointError(f"{file}: {name} is not a tensor of this model")
        with safe_open(file, framework="pt") as handle:
            stored = handle.get_tensor(name)
        if stored.shape != slot.view().shape:
            expected = list(slot.view().shape)
            raise CheckpointError(
                f"{file}: {name} has shape {list(stored.shape)}, config.json says {expected}"
            )
        slot.view().copy_(stored)
    if missing:
        names = sorted(missing)
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise CheckpointError(f"{folder}: tensor {names[0]} is missing{more}")
    return model


def save_weights(model: DiffusionGemma, file: Path, dtype: torch.dtype) -> None:
    """Write the model's tensors under their published names."""
    tensors = {
        name: slot.view().to(dtype).contiguous().clone() for name, slot in _slots(model).items()
    }
    save_file(tensors, file, metadata={"format": "pt"})


def _stored(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every tensor of the folder's shards, as (file, name), each file's end checked first."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        try:
            shards = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{index}: not a safetensors index ({error})") from None
        files = [folder / shard for shard in shards]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: there are no *.safetensors files in this folder")
    for file in files:
        if not file.exists():
            raise CheckpointError(f"{file}: the index names this shard, but it is missing")
        _check_complete(file)
        try:
            with safe_open(file, framework="pt") as handle:
                names = list(handle.keys())
        except SafetensorError as error:
            raise CheckpointError(f"{file}: not a valid safetensors file ({error})") from None
        for name in names:
            yield file, name


def _check_complete(file: Path) -> None:
    """Name the first tensor that a cut-off file does not hold in full."""
    with file.open("rb") as stream:
        size = file.stat().st_size
        length = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(length)) if 8 + length <= size else None
        except (json.JSONDecodeError, UnicodeDecodeError):
            header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{file}: the safetensors header is damaged or cut off")
    for name, entry in header.items():
        if name != "__metadata__" and 8 + length + entry["data_offsets"][1] > size:
            raise CheckpointError(f"{file}: the file is cut off inside tensor {name}")
