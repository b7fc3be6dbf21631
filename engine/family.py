"""The families of models that the engine runs, each with its settings and its sampler.

| `model_type` in `config.json` | model | a canvas begins as | and is written by |
|---|---|---|---|
| `diffusion_gemma` | `model.py` | uniform tokens | `sampler.py`, or `verifier.py` |
| `llada` | `llada.py` | mask tokens | `masked.py` |

Everything else, the constraint, the turn, the batch, is the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from .config import GenerationConfig, ModelConfig, read_file, read_generation_config
from .llada import LLaDA, LLaDAConfig
from .masked import MaskedGeneration
from .model import DiffusionGemma
from .tokenizer import Tokenizer

AnyModel = DiffusionGemma | LLaDA
AnyConfig = ModelConfig | LLaDAConfig
AnyGeneration = GenerationConfig | MaskedGeneration
FAMILIES: Mapping[str, type[AnyConfig]] = {"diffusion_gemma": ModelConfig, "llada": LLaDAConfig}
"""What `config.json` is read as, by its `model_type`."""
_CLOSING = "<|eot_id|>"  # of a turn in LLaDA's chat template; its settings name the text's end only


class _Kind(BaseModel):
    model_type: Literal["diffusion_gemma", "llada"]


def read_any_config(folder: Path) -> AnyConfig:
    """What the folder's `config.json` says of the model.

    Raises:
        CheckpointError: the file is missing, is not JSON, or describes what is not run here.
    """
    file = folder / "config.json"
    return read_file(file, FAMILIES[read_file(file, _Kind).model_type])


def read_any_generation(folder: Path, config: AnyConfig) -> AnyGeneration:
    """What the folder's `generation_config.json` says of how the model is sampled; without one, the
    defaults of the family's reference.

    Raises:
        CheckpointError: the file is not JSON, or says what is not done here.
    """
    file = folder / "generation_config.json"
    if isinstance(config, ModelConfig):
        return read_generation_config(file)
    return read_file(file, MaskedGeneration) if file.exists() else MaskedGeneration()


def read_tokenizer(folder: Path, config: AnyConfig, generation: AnyGeneration) -> Tokenizer:
    """The folder's tokenizer, with the tokens that end a turn and the one that fills up behind it.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind of tokenizer.
    """
    file, size, ends = folder / "tokenizer.json", config.vocab_size, tuple(generation.eos_token_id)
    if isinstance(generation, GenerationConfig):
        return Tokenizer(file, vocab_size=size, ends=ends, pad=generation.pad_token_id)
    assert isinstance(config, LLaDAConfig)
    ends, pad = (*ends, config.eos_token_id), config.pad_token_id
    return Tokenizer(file, vocab_size=size, ends=ends, pad=pad, closing=_CLOSING)
