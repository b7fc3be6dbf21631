"""What a format of the weights costs: `python -m gesso.engine.benchmarks.formats`.

The denoiser's logits over canvases of held-out turns of the bundled model, half of whose tokens are
noise, beside those of the same model in float32: how far they are off, how far the distributions
are apart, how often the most probable token is the same. And, of a random model of 100 million
parameters, the size of its weights and the milliseconds of a denoising step on this machine. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import SKETCH, load_weights
from ..config import read_config
from ..constraint import tools
from ..engine import Engine, load_engine
from ..formats import E2M1
from ..model import DiffusionGemma
from ..packed import PackedWeight
from ..quantized import Kind, Quantised
from ..request import ToolCall
from ..training.evaluate import heldout_cases
from .speed import CANVAS, VOCABULARY, write_checkpoint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Format:
    """Weights in `dtype`, quantised on load, or rounded to what a published format can say."""

    name: str
    bits: str
    dtype: str = "float32"
    quantize: Kind | None = None
    rounded: Callable[[Tensor], Tensor] | None = None


def _fp8(weight: Tensor) -> Tensor:
    """E4M3 with a scale a row, as FP8-dynamic checkpoints are."""
    scale = weight.abs().amax(-1, keepdim=True) / 448
    return (weight / scale).to(torch.float8_e4m3fn).float() * scale


def _int8(weight: Tensor) -> Tensor:
    """What a GPU's 8 bits stand for."""
    rounded = Quantised(weight.shape, "int8", weight.device)
    rounded.whole.fill(weight)
    return rounded.dense(torch.float32)


def _nvfp4(weight: Tensor) -> Tensor:
    """E2M1 with an E4M3 scale for 16 values, and one for all."""
    whole = 448 * 6 / weight.abs().max()
    grouped = weight.unflatten(-1, (-1, 16))
    scale = (grouped.abs().amax(-1, keepdim=True) / 6 * whole).to(torch.float8_e4m3fn).float()
    step = (scale / whole).clamp_min(1e-12)
    return (_nearest(grouped / step) * step).flatten(-2)


def _nearest(values: Tensor) -> Tensor:
    """The values of four bits that are nearest to some values."""
    table = torch.tensor(E2M1)
    bounds = (table[1:] + table[:-1]) / 2
    return table[torch.bucketize(values.abs().contiguous(), bounds)].copysign(values)


FORMATS = (
    Format("float32", "32"),
    Format("bfloat16", "16", dtype="bfloat16"),
    Format("FP8, a scale a row", "8", rounded=_fp8),
    Format('`quantize = "int8"`, as a GPU has it', "8.25", rounded=_int8),
    Format('`quantize = "int8"`', "8", quantize="int8"),
    Format("NVFP4", "4.5", rounded=_nvfp4),
    Format('`quantize = "int4"`', "4.5", quantize="int4"),
)


@dataclass(frozen=True)
class Canvas:
    """A turn's prompt and its answer's tokens, half of them noise."""

    prompt: Sequence[int]
    tokens: Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description="What a format of the weights costs.")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    canvases = _canvases(load_engine("sketch"), options.turns)
    print(f"{len(canvases)} held-out canvases of `sketch`, and a step of 100 M parameters:\n")
    print("| weights | bits | logits off by | KL, nats | same token | MB of 100 M | ms a step |")
    print("|---" * 7 + "|")
    exact: list[Tensor] = []
    with tempfile.TemporaryDirectory(prefix="gesso-bench-") as place:
        write_checkpoint(Path(place), seed=0)
        for form in FORMATS:
            found = _logits(_model(SKETCH, form), canvases)
            exact = exact or found
            errors = [_apart(one, other) for one, other in zip(found, exact, strict=True)]
            error, apart, same = (statistics.mean(column) for column in zip(*errors, strict=True))
            large = _model(Path(place), form)
            size = _bytes(large) / 1e6
            step = 1000 * _seconds_a_step(large, options.rounds)
            print(
                f"| {form.name} | {form.bits} | {error:.2%} | {apart:.4f} | {same:.1%}"
                f" | {size:.0f} | {step:.0f} |",
                flush=True,
            )


def _model(folder: Path, form: Format) -> DiffusionGemma:
    config = read_config(folder / "config.json")
    model = load_weights(folder, config, DTYPES[form.dtype], quantize=form.quantize)
    if form.rounded is not None:
        for name, weight in model.named_parameters():
            if weight.ndim >= 2 and "embed" not in name and "router" not in name:
                weight.copy_(form.rounded(weight.float()))
    return model


def _bytes(model: DiffusionGemma) -> int:
    """Of the weights; of packed ones a byte each, which the state does not show."""
    known = sum(part.nbytes for part in model.state_dict().values())
    packed = [part.shape.numel() for part in model.modules() if isinstance(part, PackedWeight)]
    embedding = 0 if model.packed_embedding is None else 2 * model.embed_tokens.weight.numel()
    return known + sum(packed) + embedding


def _canvases(engine: Engine, count: int) -> list[Canvas]:
    noise = torch.Generator().manual_seed(0)
    made = []
    for case in heldout_cases(count):
        (name,) = case.calls
        request = replace(case.request, tool_choice=name)
        language = tools(request.tools, choice=name, form=engine.template.calls)
        text = language.render(ToolCall(name, case.expected))
        tokens = torch.tensor(engine.tokenizer.encode(text)[: engine.canvas_length])
        other = torch.randint(engine.config.vocab_size, tokens.shape, generator=noise)
        noisy = torch.rand(tokens.shape, generator=noise) < 0.5
        prompt = engine.tokenizer.encode(engine.template.render(request))
        made.append(Canvas(prompt, torch.where(noisy, other, tokens)))
    return made


@torch.inference_mode()
def _logits(model: DiffusionGemma, canvases: Sequence[Canvas]) -> list[Tensor]:
    found = []
    for canvas in canvases:
        cache = model.new_cache()
        model.encode(torch.tensor(canvas.prompt)[None], cache)
        found.append(model.denoise(canvas.tokens[None], cache)[0])
    return found


def _apart(found: Tensor, exact: Tensor) -> tuple[float, float, float]:
    """The error of the logits by their spread, the divergence, and the share of positions whose
    most probable token is the same."""
    error = (found - exact).norm() / (exact - exact.mean(-1, keepdim=True)).norm()
    apart = F.kl_div(
        found.log_softmax(-1), exact.log_softmax(-1), log_target=True, reduction="none"
    )
    same = (found.argmax(-1) == exact.argmax(-1)).float().mean()
    return float(error), float(apart.sum(-1).mean()), float(same)


@torch.inference_mode()
def _seconds_a_step(model: DiffusionGemma, rounds: int) -> float:
    """The median of a step over a canvas of 256 behind a prompt of 256, of one processor's time."""
    torch.manual_seed(0)
    tokens: Any = torch.randint(VOCABULARY, (1, 256 + CANVAS))
    cache = model.new_cache()
    model.encode(tokens[:, :256], cache)
    taken = []
    for _ in range(rounds + 1):
        began = time.process_time()
        model.denoise(tokens[:, 256:], cache)
        taken.append(time.process_time() - began)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
