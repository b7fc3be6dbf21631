"""Checkpoint folders: finding them, reading them shard by shard, writing one.

The layout is the published one (`config.json`, `*.safetensors` with an optional index). Tensors
go straight from the mapped file into the model's own storage on its device, one at a time: there is
no second copy of the model. What does not fit is an error that names the tensor; the vision tower's
tensors are recognised and left unread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from .adapter import Adapter
from .config import ModelConfig
from .errors import CheckpointError
from .formats import dense, split
from .model import DiffusionGemma
from .packed import MOST, PackedEmbedding, pack, packs
from .quantized import Codes, Kind, Quantised
from .shards import Shards

SKETCH = Path(__file__).parent / "sketch"
"""The bundled checkpoint."""

FILES = ["*.json", "*.jinja", "*.safetensors"]
"""What is downloaded of a checkpoint."""
_KEPT = ("embed_tokens", "router")
"""Weights that are never quantised: looked up by row, or small and decisive."""
Progress = Callable[[int, int], None]
"""Is told how many tensors of how many are there."""
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
        found = snapshot_download(str(model), allow_patterns=FILES, local_files_only=not download)
        return Path(found)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{model}: not a local folder, and the hub did not give it ({reason})"
        ) from None


@dataclass(frozen=True)
class _Slot:
    """Where one published tensor lives in the model: a tensor, and its rows if it is stacked."""

    target: Tensor | Quantised | Codes
    rows: slice

    def view(self) -> Tensor:
        assert isinstance(self.target, Tensor)
        return self.target[self.rows]

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.rows.stop - self.rows.start, *self.target.shape[1:]))

    def fill(self, weight: Tensor) -> None:
        if isinstance(self.target, Tensor):
            self.view().copy_(weight)
        else:
            self.target[self.rows].fill(weight)


def _slots(model: DiffusionGemma) -> dict[str, _Slot]:
    """Every published tensor name of the text model, with its place."""
    slots: dict[str, _Slot] = {}

    def add(name: str, target: Tensor | Quantised, start: int = 0, rows: int | None = None) -> None:
        stop = target.shape[0] if rows is None else start + rows
        if isinstance(target, Tensor):
            target = target.detach()
        slots[name] = _Slot(target, slice(start, stop))

    def add_gated(name: str, gate_up: Tensor | Quantised, down: Tensor | Quantised) -> None:
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


def _single_experts(model: DiffusionGemma) -> dict[str, tuple[str, _Slot]]:
    """Where experts are stored one by one: each one's tensors, with the stacked tensor's name."""
    found: dict[str, tuple[str, _Slot]] = {}
    for index, layer in enumerate(model.stack):
        prefix = f"model.decoder.layers.{index}.experts."
        experts = layer.experts
        width = experts.gate_up_proj.shape[1] // 2
        parts = [
            ("gate_proj", "gate_up_proj", slice(0, width)),
            ("up_proj", "gate_up_proj", slice(width, 2 * width)),
            ("down_proj", "down_proj", slice(0, experts.down_proj.shape[1])),
        ]
        for number in range(len(experts.gate_up_proj)):
            for part, stacked, rows in parts:
                weight: Tensor | Codes = getattr(experts, stacked)[number]
                name = f"{prefix}{number}.{part}.weight"
                found[name] = (f"{prefix}{stacked}", _Slot(weight, rows))
    return found


def load_weights(
    folder: Path,
    config: ModelConfig,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    *,
    adapter: Path | None = None,
    quantize: Kind | None = None,
    progress: Progress | None = None,
) -> DiffusionGemma:
    """Build the model on its device and fill it from the folder's safetensors files; what is
    quantised there is read as what it stands for. The LoRA `adapter` of a folder is merged, and
    with `quantize` projections and experts are quantised, as they are read.

    Raises:
        CheckpointError: a file cannot be read, or a tensor is missing, unknown, truncated or of
            another shape than the configuration says; the message names it.
    """
    with torch.device("meta"):
        model = DiffusionGemma(config.text_config)
    model = model.to(dtype)
    packed = quantize == "int8" and packs(device)
    if quantize is not None:
        _quantise(model, quantize, MOST if packed else None)
    model = model.to_empty(device=device).eval().requires_grad_(False)
    missing, single = _slots(model), _single_experts(model)
    waiting = Counter(stacked for stacked, _ in single.values())
    shards = Shards(folder)
    added = None if adapter is None else Adapter(adapter)
    weights: dict[str, dict[str, str]] = {}
    for name in shards.files:
        if not name.startswith(_VISION):
            weight, part = split(name)
            weights.setdefault(weight, {})[part] = name
    for number, (name, parts) in enumerate(weights.items(), 1):
        file = shards.files[next(iter(parts.values()))]
        slot = missing.pop(name, None)
        if slot is None and name in single:
            stacked, slot = single.pop(name)
            waiting[stacked] -= 1
            if not waiting[stacked]:
                del missing[stacked]
        if slot is None:
            if name.startswith(_TIED):
                continue
            raise CheckpointError(f"{file}: {name} is not a tensor of this model")
        stored = dense(
            f"{file}: {name}",
            {part: shards.read(stored) for part, stored in parts.items()},
            config.packed_bits,
        )
        if stored.shape != slot.shape:
            raise CheckpointError(
                f"{file}: {name} has shape {list(stored.shape)},"
                f" config.json says {list(slot.shape)}"
            )
        slot.fill(stored if added is None else added.merged(name, stored))
        if progress is not None:
            progress(number, len(weights))
    shards.close()
    if added is not None:
        added.check_merged()
    if missing:
        names = sorted(missing)
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise CheckpointError(f"{folder}: tensor {names[0]} is missing{more}")
    if packed:
        pack(model)
        model.packed_embedding = PackedEmbedding(model.embed_tokens.weight)
    return model


def _quantise(model: DiffusionGemma, kind: Kind, row_codes: int | None) -> None:
    """Put codes in the place of the weights of projections and experts."""
    for name, module in model.named_modules():
        if any(part in name.split(".") for part in _KEPT):
            continue
        for parameter, weight in list(module.named_parameters(recurse=False)):
            if weight.ndim >= 2:
                delattr(module, parameter)
                module.add_module(parameter, Quantised(weight.shape, kind, "meta", row_codes))


def save_weights(model: DiffusionGemma, file: Path, dtype: torch.dtype) -> None:
    """Write the model's tensors under their published names."""
    tensors = {
        name: slot.view().to(dtype).contiguous().clone() for name, slot in _slots(model).items()
    }
    save_file(tensors, file, metadata={"format": "pt"})
