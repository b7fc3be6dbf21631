"""Checkpoint folders: finding them, reading them shard by shard, writing one.

The layout is the published one (`config.json`, `*.safetensors` with an optional index). Tensors
go straight from the mapped file into the model's own storage on its device, one at a time: there is
no second copy of the model. What does not fit is an error that names the tensor. There is a vision
tower where the files have one; nothing is set aside for it where they do not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import overload

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from .adapter import Adapter
from .config import ModelConfig
from .errors import CheckpointError
from .float8 import Float8, Scaled
from .formats import dense, float8, split
from .kernels import launches_on
from .llada import LLaDA, LLaDAConfig
from .model import DiffusionGemma
from .packed import MOST, PackedEmbedding, pack, packs
from .quantized import Codes, Kind, Quantised
from .shards import Shards
from .vision import Vision

SKETCH = Path(__file__).parent / "sketch"
"""The bundled checkpoint."""

FILES = ["*.json", "*.jinja", "*.safetensors"]
"""What is downloaded of a checkpoint."""
_KEPT = ("embed_tokens", "router", "head", "vision")
"""Weights that are never quantised: looked up by row, or decisive and a small part of all."""
Weight = Tensor | Float8 | Quantised
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


def sees(folder: Path) -> bool:
    """Whether a checkpoint's files have a vision tower. Raises `CheckpointError` for files that
    cannot be read."""
    return _sees(Shards(folder))


def _sees(shards: Shards) -> bool:
    return any(name.startswith(_VISION) for name in shards.files)


@dataclass(frozen=True)
class _Slot:
    """Where one published tensor lives in the model: a tensor, and its rows if it is stacked."""

    target: Tensor | Float8 | Scaled | Quantised | Codes
    rows: slice | None = None

    def view(self) -> Tensor:
        assert isinstance(self.target, Tensor)
        return self.target if self.rows is None else self.target[self.rows]

    @property
    def shape(self) -> torch.Size:
        if self.rows is None:
            return self.target.shape
        return torch.Size((self.rows.stop - self.rows.start, *self.target.shape[1:]))

    def take(self, stored: tuple[Tensor, Tensor] | None) -> bool:
        """Take a weight's values in FP8 and their scale as they are, where there are some and this
        holds such; whether it did."""
        if stored is None or not isinstance(self.target, Float8 | Scaled):
            return False
        assert self.rows is not None
        self.target[self.rows].take(*stored)
        return True

    def fill(self, weight: Tensor) -> None:
        if isinstance(self.target, Tensor):
            self.view().copy_(weight)
        else:
            assert self.rows is not None
            self.target[self.rows].fill(weight)


Add = Callable[..., None]
"""Takes a published tensor's name and where it lives: a target, and its rows of a stacked one."""


def _slots(model: DiffusionGemma | LLaDA) -> dict[str, _Slot]:
    """Every published tensor name of the model, with its place."""
    slots: dict[str, _Slot] = {}

    def add(name: str, target: Weight, start: int = 0, rows: int | None = None) -> None:
        stop = target.shape[0] if rows is None else start + rows
        if isinstance(target, Tensor):
            target = target.detach()
        slots[name] = _Slot(target, slice(start, stop))

    if isinstance(model, LLaDA):
        _add_llada(add, model)
        return slots
    _add_gemma(add, model)
    if model.vision is not None:
        for name, value in model.vision.state_dict().items():
            slots[f"model.encoder.{name}"] = _Slot(value)
    return slots


def _add_llada(add: Add, model: LLaDA) -> None:
    add("model.transformer.wte.weight", model.embed_tokens.weight)
    add("model.transformer.ln_f.weight", model.norm.weight)
    if model.head is not None:
        add("model.transformer.ff_out.weight", model.head.weight)
    for index, layer in enumerate(model.stack):
        prefix = f"model.transformer.blocks.{index}."
        attention, mlp = layer.self_attn, layer.mlp
        queries, keys = (
            heads * attention.head_size for heads in (attention.heads, attention.groups)
        )
        add(f"{prefix}q_proj.weight", attention.qkv_proj.weight, 0, queries)
        add(f"{prefix}k_proj.weight", attention.qkv_proj.weight, queries, keys)
        add(f"{prefix}v_proj.weight", attention.qkv_proj.weight, queries + keys, keys)
        add(f"{prefix}attn_out.weight", attention.o_proj.weight)
        add(f"{prefix}attn_norm.weight", layer.attn_norm.weight)
        add(f"{prefix}ff_norm.weight", layer.ff_norm.weight)
        half = mlp.gate_up_proj.weight.shape[0] // 2
        add(f"{prefix}ff_proj.weight", mlp.gate_up_proj.weight, 0, half)
        add(f"{prefix}up_proj.weight", mlp.gate_up_proj.weight, half, half)
        add(f"{prefix}ff_out.weight", mlp.down_proj.weight)


def _add_gemma(add: Add, model: DiffusionGemma) -> None:
    def add_gated(name: str, gate_up: Weight, down: Weight) -> None:
        half = gate_up.shape[0] // 2
        add(f"{name}gate_proj.weight", gate_up, 0, half)
        add(f"{name}up_proj.weight", gate_up, half, half)
        add(f"{name}down_proj.weight", down)

    add("model.decoder.embed_tokens.weight", model.embed_tokens.weight)
    for parameter, value in model.named_parameters():
        norm = parameter.endswith("norm.weight") or "layernorm" in parameter
        if norm and not parameter.startswith("vision."):
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


def _single_experts(model: DiffusionGemma | LLaDA) -> dict[str, tuple[str, _Slot]]:
    """Where experts are stored one by one: each one's tensors, with the stacked tensor's name."""
    found: dict[str, tuple[str, _Slot]] = {}
    if isinstance(model, LLaDA):
        return found
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
                weight: Tensor | Scaled | Codes = getattr(experts, stacked)[number]
                name = f"{prefix}{number}.{part}.weight"
                found[name] = (f"{prefix}{stacked}", _Slot(weight, rows))
    return found


@overload
def load_weights(
    folder: Path,
    config: ModelConfig,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    *,
    adapter: Path | None = None,
    quantize: Kind | None = None,
    progress: Progress | None = None,
) -> DiffusionGemma: ...
@overload
def load_weights(
    folder: Path,
    config: LLaDAConfig,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    *,
    adapter: Path | None = None,
    quantize: Kind | None = None,
    progress: Progress | None = None,
) -> LLaDA: ...
def load_weights(
    folder: Path,
    config: ModelConfig | LLaDAConfig,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    *,
    adapter: Path | None = None,
    quantize: Kind | None = None,
    progress: Progress | None = None,
) -> DiffusionGemma | LLaDA:
    """Build the model on its device and fill it from the folder's safetensors files; what is
    quantised there is read as what it stands for, except that FP8 stays FP8 on a GPU. The LoRA
    `adapter` of a folder is merged, and with `quantize` projections and experts are quantised, as
    they are read.

    Raises:
        CheckpointError: a file cannot be read, or a tensor is missing, unknown, truncated or of
            another shape than the configuration says; the message names it.
    """
    shards = Shards(folder)
    weights: dict[str, dict[str, str]] = {}
    for name in shards.files:
        weight, part = split(name)
        weights.setdefault(weight, {})[part] = name
    with torch.device("meta"):
        if isinstance(config, LLaDAConfig):
            model = LLaDA(config)
        else:
            vision = _vision(folder, config) if _sees(shards) else None
            model = DiffusionGemma(config.text_config, vision)
    model = model.to(dtype)
    packed = quantize == "int8" and packs(device)
    if quantize is not None:
        codes = MOST if packed else None
        replace_weights(model, lambda _, weight: Quantised(weight.shape, quantize, "meta", codes))
    elif launches_on(torch.device(device)):
        kept = _in_float8(shards, weights)
        replace_weights(
            model, lambda name, weight: Float8(weight.shape, "meta") if name in kept else None
        )
    model = model.to_empty(device=device).eval().requires_grad_(False)
    missing, single = _slots(model), _single_experts(model)
    waiting = Counter(stacked for stacked, _ in single.values())
    added = None if adapter is None else Adapter(adapter)
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
        read = {part: shards.read(stored) for part, stored in parts.items()}
        stored = dense(f"{file}: {name}", read, config.packed_bits)
        if stored.shape != slot.shape:
            raise CheckpointError(
                f"{file}: {name} has shape {list(stored.shape)},"
                f" config.json says {list(slot.shape)}"
            )
        if added is not None:
            slot.fill(added.merged(name, stored))
        elif not slot.take(float8(read)):
            slot.fill(stored)
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
    if packed and isinstance(model, DiffusionGemma):
        model.packed_embedding = PackedEmbedding(model.embed_tokens.weight)
    return model


def _vision(folder: Path, config: ModelConfig) -> Vision:
    if config.vision_config is None:
        raise CheckpointError(f"{folder}: has a vision tower, and config.json no vision_config")
    return Vision(config.vision_config, config.text_config.hidden_size)


def replace_weights(
    model: DiffusionGemma | LLaDA, instead: Callable[[str, Tensor], Float8 | Quantised | None]
) -> None:
    """Put something in the place of the weights of projections and experts, by their names."""
    for name, module in model.named_modules():
        if any(part in name.split(".") for part in _KEPT):
            continue
        for parameter, weight in list(module.named_parameters(recurse=False)):
            found = instead(f"{name}.{parameter}", weight) if weight.ndim >= 2 else None
            if found is not None:
                delattr(module, parameter)
                module.add_module(parameter, found)


def _in_float8(shards: Shards, weights: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The model's own weights of which every part is published in E4M3 with a scale for all of it
    or for each row."""
    found: dict[str, bool] = {}
    for name, parts in weights.items():
        own = _own_name(name)
        found[own] = found.get(own, True) and _has_row_scales(shards, parts)
    return {own for own, kept in found.items() if kept}


def _has_row_scales(shards: Shards, parts: Mapping[str, str]) -> bool:
    if not {"weight", "weight_scale"} <= parts.keys() or "weight_scale_2" in parts:
        return False
    form, shape = shards.form(parts["weight"])
    _, scale = shards.form(parts["weight_scale"])
    return form == "F8_E4M3" and len(shape) == 2 and prod(scale) in (1, shape[0])


def _own_name(published: str) -> str:
    """The model's own weight that a published one is, or is a part of."""
    own = published.removeprefix("model.decoder.")
    own = own.replace("self_conditioning.", "self_conditioning.mlp.")
    own = re.sub(r"\b[qkv]_proj\b", "qkv_proj", own)
    own = re.sub(r"\b(gate|up)_proj\b", "gate_up_proj", own)
    return re.sub(r"\bexperts\.\d+\.(\w+)\.weight", r"experts.\1", own)


def published(model: DiffusionGemma) -> dict[str, Tensor]:
    """The model's tensors under their published names, in its own storage; none is quantised."""
    return {name: slot.view() for name, slot in _slots(model).items()}


def save_weights(model: DiffusionGemma, file: Path, dtype: torch.dtype) -> None:
    """Write the model's tensors under their published names."""
    tensors = {name: view.to(dtype).contiguous().clone() for name, view in published(model).items()}
    save_file(tensors, file, metadata={"format": "pt"})
