"""Compare shapes of the bundled model: `python -m gesso.engine.training.ablation [--minutes 4]`.

Every shape is trained from scratch by the same recipe for the same seconds of processor time (not
of the clock, so that a busy machine is fair to all), and measured on the same held-out turns: the
encoder's and the denoiser's loss, and the fields of records that are exact. Losses are in nats a
byte of the answer, because vocabularies of unlike sizes cut it into unlike numbers of tokens. A
shape that is done, or half done, is gone on from when the script is called again.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ..checkpoint import SKETCH
from ..engine import Engine, load_engine
from ..model import DiffusionGemma
from ..prompt import ChatTemplate
from .evaluate import equal, heldout_cases, measure, table, write_section
from .tasks import rendered, turn
from .train import (
    CANVAS_LENGTH,
    SHAPE,
    WORDS,
    Batch,
    Recipe,
    draw_canvases,
    next_token_loss,
    write_folder,
)
from .train import train as train_shape

_LEVELS = (0.25, 0.5, 0.75, 1.0)
_LONGEST = 2400  # letters of a held-out prompt


@dataclass(frozen=True)
class Shape:
    """One model to try: what of the shipped shape is otherwise, and the longest turn in its
    tokens, so that all vocabularies are trained on the same documents."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    canvas_length: int = CANVAS_LENGTH
    words: int = WORDS
    longest: int = 1400


@dataclass(frozen=True)
class Figures:
    """What a trained shape came to."""

    parameters: int
    size: int
    steps: int
    next_token: float
    canvas: float
    exact_fields: float


def _layers(count: int) -> dict[str, Any]:
    """Sliding and full layers in turn, a full one last."""
    kinds = ["sliding_attention", "full_attention"] * count
    return {"num_hidden_layers": count, "layer_types": [*kinds[: count - 1], "full_attention"]}


SHAPES = (
    Shape("as shipped"),
    Shape(
        "one expert (dense)",
        {"num_experts": 1, "top_k_experts": 1, "moe_intermediate_size": 160},
    ),
    Shape("deep: 8 layers of 128", {**_layers(8), "hidden_size": 128, "intermediate_size": 256}),
    Shape("wide: 3 layers of 224", {**_layers(3), "hidden_size": 224, "intermediate_size": 448}),
    Shape("large: 6 layers of 256", {**_layers(6), "hidden_size": 256, "intermediate_size": 512}),
    Shape("letters only", words=0, longest=2400),
    Shape("canvas of 64", canvas_length=64),
    Shape("canvas of 128", canvas_length=128),
)


def recipe_for(shape: Shape, minutes: float) -> Recipe:
    """The bundled model's recipe on a small budget: small batches, because steps are what a short
    run lacks, and as much warm start as canvas."""
    return Recipe(
        minutes=minutes,
        warm_start_minutes=minutes / 2,
        ramp_minutes=minutes / 4,
        longest_first=shape.longest // 2,
        longest=shape.longest,
        tokens_per_batch=2048,
        warm_up_steps=20,
    )


def try_shape(folder: Path, shape: Shape, minutes: float, records: int) -> Figures:
    """Train and measure one shape, or go on with it, or read what it came to."""
    file = folder / "figures.json"
    if file.exists():
        return Figures(**json.loads(file.read_text(encoding="utf-8")))
    if not (folder / "config.json").exists():
        merged = {**SHAPE, **shape.changes}
        write_folder(folder, shape=merged, canvas_length=shape.canvas_length, words=shape.words)
    train_shape(folder, recipe_for(shape, minutes), threads=1, clock=time.process_time)
    figures = _figures(folder, records)
    file.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
    return figures


def _figures(folder: Path, records: int) -> Figures:
    engine = load_engine(folder)
    next_token, canvas = losses(engine, records)
    state = torch.load(folder / "state.pt", weights_only=True)
    return Figures(
        parameters=sum(parameter.numel() for parameter in engine.model.parameters()),
        size=(folder / "model.safetensors").stat().st_size,
        steps=state["step"],
        next_token=next_token,
        canvas=canvas,
        exact_fields=measure(engine, heldout_cases(records), equal).fields,
    )


@torch.inference_mode()
def losses(engine: Engine, turns: int) -> tuple[float, float]:
    """The encoder's loss and the denoiser's on held-out turns, in nats a byte of their answers; the
    denoiser's is the mean over several levels of noise, its first pass only."""
    template = ChatTemplate(SKETCH / "chat_template.jinja", bos_token="<bos>")
    model, pad = engine.model, engine.tokenizer.vocabulary.pad
    assert isinstance(model, DiffusionGemma)
    rng = random.Random("ablation")
    torch.manual_seed(1)
    size, read, denoised = 0, 0.0, 0.0
    while turns:
        prompt, answer = rendered(turn(rng, "heldout", "record"), template)
        if len(prompt) > _LONGEST:
            continue
        turns -= 1
        size += len(answer.encode())
        head, tail = engine.tokenizer.encode(prompt), engine.tokenizer.encode(answer)
        batch = Batch(
            torch.tensor([head + tail]),
            torch.tensor([len(head)]),
            torch.tensor([len(head) + len(tail)]),
        )
        cache = model.new_cache()
        states = model.encode(batch.tokens, cache)
        read += len(tail) * float(next_token_loss(model, states, batch, prompt=0.0))
        clean, prefix = draw_canvases(batch, engine.canvas_length, pad)
        for level in _LEVELS:
            noise = torch.randint(model.config.vocab_size, clean.shape)
            canvas = torch.where(torch.rand(clean.shape) < level, noise, clean)
            logits = model.denoise(canvas, cache, None, prefix)
            own = clean[0] != pad
            mean = float(F.cross_entropy(logits[0][own], clean[0][own]))
            denoised += len(tail) * mean / len(_LEVELS)
    return read / size, denoised / size


def report(found: Mapping[str, Figures], minutes: float) -> str:
    """The figures as a table, the shapes in their order."""
    head = [f"{minutes:g} minutes of one core each", "parameters", "MB", "steps"]
    head += ["next token, nats a byte", "canvas, nats a byte", "fields exact"]
    rows = [
        [
            name,
            f"{figures.parameters / 1e6:.2f} M",
            f"{figures.size / 1e6:.1f}",
            f"{figures.steps}",
            f"{figures.next_token:.3f}",
            f"{figures.canvas:.3f}",
            f"{figures.exact_fields:.1%}",
        ]
        for name, figures in found.items()
    ]
    return table(head, rows)


def main() -> None:
    """Parse the command line, try every shape and print the table."""
    parser = argparse.ArgumentParser(description="Compare shapes of the bundled model.")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--minutes", type=float, default=4.0, help="processor time of each shape")
    parser.add_argument("--records", type=int, default=40, help="held-out records measured")
    parser.add_argument("--write", action="store_true", help="write the model card's table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Figures] = {}
    for number, shape in enumerate(SHAPES):
        folder = options.out / f"{number}-{shape.name.partition(':')[0].replace(' ', '-')}"
        found[shape.name] = try_shape(folder, shape, options.minutes, options.records)
        print(shape.name, found[shape.name], flush=True)
    text = report(found, options.minutes)
    print(text)
    if options.write:
        write_section(SKETCH / "README.md", "make ablation", text)


if __name__ == "__main__":
    main()
