"""What a checkpoint folder says of itself: the shape of its model and how it likes to generate.

Both are read from the published files (`config.json`, `generation_config.json`) in the names that
`transformers` writes; nothing here has a default of ours that a file could contradict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import CheckpointError

LayerType = Literal["sliding_attention", "full_attention"]
Model = TypeVar("Model", bound=BaseModel)


class Rotary(BaseModel):
    """One kind of rotary embedding; `proportional` rotates only the first share of a head."""

    model_config = ConfigDict(frozen=True)
    rope_type: Literal["default", "proportional"] = "default"
    rope_theta: float
    partial_rotary_factor: float = 1.0
    factor: float = 1.0


class TextConfig(BaseModel):
    """The shape of the text model (`text_config` in `config.json`)."""

    model_config = ConfigDict(frozen=True)
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    global_head_dim: int = 512
    num_global_key_value_heads: int | None = None
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    rope_parameters: dict[LayerType, Rotary]
    sliding_window: int
    layer_types: list[LayerType]
    final_logit_softcapping: float = 30.0
    num_experts: int
    top_k_experts: int
    moe_intermediate_size: int
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    attention_bias: Literal[False] = False

    @model_validator(mode="before")
    @classmethod
    def _global_heads(cls, data: Any) -> Any:
        """`transformers` >= 5.20 writes the full layers' shape as `per_layer_config`; before, as
        `global_head_dim` and `num_global_key_value_heads`. Both are read."""
        layers = data.get("per_layer_config") if isinstance(data, Mapping) else None
        if not layers:
            return data
        override = next(iter(layers.values()))
        return {
            **data,
            "global_head_dim": override.get("head_dim", data.get("head_dim")),
            "num_global_key_value_heads": override.get("num_key_value_heads"),
        }

    def head_size(self, layer: int) -> int:
        """Width of one attention head of a layer."""
        sliding = self.layer_types[layer] == "sliding_attention"
        return self.head_dim if sliding else self.global_head_dim

    def cache_bytes(self, dtype: torch.dtype) -> tuple[int, int]:
        """Bytes of one token's keys and values: of all sliding layers, and of all full ones."""
        sizes = dict.fromkeys(get_args(LayerType), 0)
        for layer, kind in enumerate(self.layer_types):
            sizes[kind] += 2 * self.key_value_heads(layer) * self.head_size(layer) * dtype.itemsize
        return sizes["sliding_attention"], sizes["full_attention"]

    def key_value_heads(self, layer: int) -> int:
        """Number of key (and value) heads of a layer."""
        if self.layer_types[layer] == "sliding_attention":
            return self.num_key_value_heads
        return self.num_global_key_value_heads or self.num_key_value_heads


class ModelConfig(BaseModel):
    """`config.json` of a DiffusionGemma checkpoint."""

    model_config = ConfigDict(frozen=True)
    model_type: Literal["diffusion_gemma"]
    text_config: TextConfig
    canvas_length: int = 256
    image_token_id: int | None = None
    quantization_config: Mapping[str, Any] | None = None
    """How the published weights are quantised, where they are."""
    trained_tail: bool = False
    """Whether the positions after a turn's end were trained (as padding), so that their
    probabilities mean something. Only the bundled model says so."""
    verify_drafts: bool = False
    """Whether the encoder checks every canvas before it is committed (`verifier.py`): set for a
    checkpoint for which an ablation shows that it pays."""
    draft_window: int | None = Field(default=None, gt=0)
    """How many positions behind the known ones a draft that is to be verified has (never more than
    the longest answer still needs); without one, the whole canvas."""

    @property
    def packed_bits(self) -> int | None:
        """Bits of a packed integer, where compressed-tensors packed them."""
        groups = (self.quantization_config or {}).get("config_groups") or {}
        for group in groups.values():
            weights = group.get("weights") if isinstance(group, Mapping) else None
            if isinstance(weights, Mapping) and weights.get("type") == "int":
                return weights.get("num_bits")
        return None


class EntropyBound(BaseModel):
    """How much summed entropy may be accepted in one denoising step, in nats."""

    model_config = ConfigDict(frozen=True)
    entropy_bound: float = Field(gt=0)


class GenerationConfig(BaseModel):
    """`generation_config.json`: the schedule, the acceptance rule and the stopping rule.

    The file's `max_new_tokens` is left unread: it would cap every answer silently.
    """

    model_config = ConfigDict(frozen=True)
    max_denoising_steps: int = Field(default=48, gt=0)
    sampler_config: EntropyBound = EntropyBound(entropy_bound=0.1)
    t_min: float = Field(default=0.4, ge=0)
    t_max: float = Field(default=0.8, gt=0)
    stability_threshold: int = Field(default=1, ge=0)
    confidence_threshold: float = Field(default=0.005, gt=0)
    eos_token_id: list[int] = [1]
    pad_token_id: int = 0

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """A null in the file means the model's default; a lone end token is a list of one."""
        if not isinstance(data, Mapping):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        if isinstance(given.get("eos_token_id"), int):
            given["eos_token_id"] = [given["eos_token_id"]]
        return given


def read_config(path: Path) -> ModelConfig:
    """Read `config.json`.

    Raises:
        CheckpointError: the file is missing, is not JSON, or describes another kind of model.
    """
    return _read(path, ModelConfig)


def read_generation_config(path: Path) -> GenerationConfig:
    """Read `generation_config.json`; a checkpoint without one gets the reference's defaults."""
    return _read(path, GenerationConfig) if path.exists() else GenerationConfig.model_validate({})


def _read(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent}: there is no {path.name} in this folder") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from None
