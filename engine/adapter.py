"""A LoRA adapter in PEFT's layout, to be merged into the weights as they are read.

A projection W becomes W + s · B · A, with s = alpha / rank, or alpha / √rank (*rsLoRA*, arXiv
2312.03732). Encoder and denoiser share their projections: what an adapter adds to either is added
to both, as PEFT's own `merge_and_unload` does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import CheckpointError

_NAME = re.compile(
    r"(?:base_model\.model\.)?(?P<module>model\..+)\.lora_(?P<side>[AB])(?:\.default)?\.weight"
)
_ENCODER, _DECODER = "model.encoder.language_model.", "model.decoder."
_UNREAD = ("use_dora", "modules_to_save", "target_parameters", "layer_replication", "use_qalora")


class Adapter:
    """The adapter in a folder: `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        CheckpointError: a file is missing or damaged, or the adapter is of a kind that cannot be
            merged here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = _config(folder / "adapter_config.json")
        file = folder / "adapter_model.safetensors"
        try:
            stored = load_file(file)
        except FileNotFoundError:
            raise CheckpointError(f"{folder}: there is no {file.name} in this folder") from None
        except SafetensorError as error:
            raise CheckpointError(f"{file}: not a valid safetensors file ({error})") from None
        sides: dict[str, dict[str, Tensor]] = {}
        for name, tensor in stored.items():
            found = _NAME.fullmatch(name)
            if found is None:
                raise CheckpointError(f"{file}: {name} is not of an adapter that is read (LoRA)")
            sides.setdefault(found["module"], {})[found["side"]] = tensor.float()
        self._added: dict[str, list[Tensor]] = {}
        for module, side in sides.items():
            if side.keys() != {"A", "B"}:
                raise CheckpointError(f"{file}: {module} has only one of lora_A and lora_B")
            name = f"{module.replace(_ENCODER, _DECODER, 1)}.weight"
            delta = _scale(config, module, len(side["A"])) * (side["B"] @ side["A"])
            self._added.setdefault(name, []).append(delta)

    def merged(self, name: str, weight: Tensor) -> Tensor:
        """The weight of that published name with what the adapter adds, in float32.

        Raises:
            CheckpointError: the adapter is of another shape.
        """
        for delta in self._added.pop(name, ()):
            if delta.shape != weight.shape:
                raise CheckpointError(
                    f"{self.folder}: what it adds to {name} has shape {list(delta.shape)}, the"
                    f" weight has {list(weight.shape)}: it belongs to another checkpoint"
                )
            weight = weight.to(torch.float32) + delta
        return weight

    def check_merged(self) -> None:
        """Raises `CheckpointError` where something was left over."""
        if self._added:
            name = next(iter(self._added))
            raise CheckpointError(f"{self.folder}: the checkpoint has no {name} to add to")


def _config(file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{file.parent}: there is no {file.name} in this folder") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: not valid JSON ({error})") from None
    kind = config.get("peft_type") if isinstance(config, Mapping) else None
    if kind != "LORA":
        raise CheckpointError(f"{file}: peft_type is {kind}; only LORA adapters can be merged")
    for field in _UNREAD:
        if config.get(field):
            raise CheckpointError(f"{file}: {field} is set, which cannot be merged here")
    if config.get("bias", "none") != "none" or config.get("fan_in_fan_out"):
        raise CheckpointError(f"{file}: an adapter with biases or of turned weights is not read")
    return config


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """Alpha by rank; patterns may give a module an alpha of its own."""
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    own = (value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", module))
    alpha = next(own, config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
