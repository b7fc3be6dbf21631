"""Our engine beside `transformers`' `generate`: the same random checkpoint, prompt, seed and number
of denoising steps, in one process, in turns.

The checkpoint has about 100 million parameters, a canvas of 256 and a vocabulary of 32,768. It is
written by `transformers` to a temporary folder and read from there by both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import load_weights
from ..config import GenerationConfig, read_config
from ..errors import EngineError
from ..sampler import Noise, denoise
from ..work import alone

LAYERS = "sssfsssf"
VOCABULARY = 32_768
CANVAS = 256


@dataclass(frozen=True)
class Timing:
    """One engine's median over the rounds."""

    name: str
    seconds: float
    steps: int
    tokens: int

    @property
    def steps_per_second(self) -> float:
        """Denoising steps a second, prefill included."""
        return self.steps / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens of committed canvases a second, prefill included."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class BenchReport:
    """What was run, and how long each engine took."""

    parameters: int
    prompt_tokens: int
    steps_per_canvas: int
    canvases: int
    rounds: int
    threads: int
    timings: tuple[Timing, Timing]

    @property
    def ratio(self) -> float:
        """How many times as fast the first engine is."""
        ours, reference = self.timings
        return reference.seconds / ours.seconds


def run_bench(
    *,
    prompt_tokens: int = 256,
    steps: int = 8,
    canvases: int = 1,
    rounds: int = 3,
    seed: int = 0,
) -> BenchReport:
    """Measure both engines, alternating, after one warm-up round of each.

    Raises:
        EngineError: `transformers` is not installed.
    """
    try:
        from transformers import DiffusionGemmaForBlockDiffusion
        from transformers.utils import logging
    except ImportError:
        raise EngineError(
            "gesso bench compares with transformers, which is not installed:"
            " pip install 'gesso[test]'"
        ) from None
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="gesso-bench-") as place:
        folder = Path(place)
        write_checkpoint(folder, seed)
        reference: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(folder).eval()
        config = read_config(folder / "config.json")
        model = load_weights(folder, config, torch.float32)
    torch.manual_seed(seed)
    prompt = torch.randint(VOCABULARY, (1, prompt_tokens))
    # the confidence is never reached, so that both run the same number of steps
    generation = GenerationConfig(
        max_denoising_steps=steps, confidence_threshold=1e-9, eos_token_id=[]
    )

    def ours() -> int:
        noise = Noise(seed, VOCABULARY, torch.device("cpu"))
        cache, tokens, taken = model.new_cache(), prompt, 0
        for _ in range(canvases):
            model.encode(tokens, cache)
            for step in alone(model, denoise(model, cache, CANVAS, generation, noise)):
                taken, tokens = taken + 1, step.reading.tokens[None]
        return taken

    def theirs() -> int:
        torch.manual_seed(seed)
        result = reference.generate(
            prompt,
            max_new_tokens=canvases * CANVAS,
            max_denoising_steps=steps,
            confidence_threshold=1e-9,
            stability_threshold=1,
            eos_token_id=None,
        )
        return steps * (result.sequences.shape[1] - prompt_tokens) // CANVAS

    with torch.inference_mode():
        timings = _alternate({"gesso": ours, "transformers": theirs}, rounds, canvases * CANVAS)
    return BenchReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        prompt_tokens=prompt_tokens,
        steps_per_canvas=steps,
        canvases=canvases,
        rounds=rounds,
        threads=torch.get_num_threads(),
        timings=timings,
    )


def _alternate(
    engines: dict[str, Callable[[], int]], rounds: int, tokens: int
) -> tuple[Timing, Timing]:
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    steps = dict.fromkeys(engines, 0)
    for round_number in range(rounds + 1):
        for name, run in engines.items():
            began = time.perf_counter()
            steps[name] = run()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    first, second = (
        Timing(name, statistics.median(seconds[name]), steps[name], tokens) for name in engines
    )
    return first, second


def write_checkpoint(folder: Path, seed: int) -> None:
    """Write the random checkpoint to a folder."""
    from transformers import (
        DiffusionGemmaConfig,
        DiffusionGemmaForBlockDiffusion,
        DiffusionGemmaTextConfig,
        Gemma4VisionConfig,
    )

    kinds = {"s": "sliding_attention", "f": "full_attention"}
    full_layers: dict[str, Any] = {"global_head_dim": 128, "num_global_key_value_heads": 2}
    text = DiffusionGemmaTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=len(LAYERS),
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        num_experts=16,
        top_k_experts=4,
        moe_intermediate_size=320,
        sliding_window=512,
        max_position_embeddings=8192,
        layer_types=[kinds[kind] for kind in LAYERS],
        **full_layers,
    )
    vision = Gemma4VisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=16,
    )
    torch.manual_seed(seed)
    config = DiffusionGemmaConfig(text_config=text, vision_config=vision, canvas_length=CANVAS)
    DiffusionGemmaForBlockDiffusion(config).save_pretrained(folder)
