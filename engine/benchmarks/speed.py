"""Our engine beside `transformers`' `generate`: the same random checkpoint, prompts, seed and
number of denoising steps, in one process, in turns.

The checkpoint has about 100 million parameters, a canvas of 256 and a vocabulary of 32,768. It is
written by `transformers` to a temporary folder and read from there by both. Each cell is run with
one step and with several: what the others took is a step's time, what is left is the prompt's.
With quantised weights ours runs twice, as it is and quantised; in another dtype than float32 theirs
does, in that and in float32. And ours holds a conversation (`conversation.py`).
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import SKETCH
from ..config import GenerationConfig
from ..engine import Engine, load_engine
from ..errors import EngineError
from ..model import DiffusionGemma
from ..quantized import Kind
from ..sampler import Noise, Step, denoise
from ..work import Work, go_on
from .conversation import Conversation, converse

OURS, THEIRS = "gesso", "transformers"
LAYERS = "sssfsssf"
VOCABULARY = 32_768
CANVAS = 256
USUAL_STEPS = 16
"""Of a canvas of easy text (Google's guide); tokens a second are told for so many."""


@dataclass(frozen=True)
class Timing:
    """One engine with one length of prompt and so many requests at once: medians. `peak` is the
    memory that the GPU held at most, in bytes; of a processor's it is not known apart."""

    prompt_tokens: int
    concurrency: int
    engine: str
    prefill_seconds: float
    step_seconds: float
    peak: int | None

    @property
    def tokens_per_second(self) -> float:
        """Of whole canvases, prompts included."""
        seconds = self.prefill_seconds + USUAL_STEPS * self.step_seconds
        return self.concurrency * CANVAS / seconds


@dataclass(frozen=True)
class BenchReport:
    """What was run, and how long each engine took, in every cell and in the same order: ours first,
    and one that is called `transformers`."""

    parameters: int
    device: str
    dtype: str
    threads: int
    steps: int
    rounds: int
    timings: Sequence[Sequence[Timing]]
    conversation: Conversation


Run = Callable[[Tensor, int], None]
"""Writes one canvas behind each prompt [B, T], in so many steps."""


def run_bench(
    *,
    prompt_tokens: Sequence[int] = (512,),
    concurrency: Sequence[int] = (1, 4),
    steps: int = 4,
    rounds: int = 3,
    device: str = "cpu",
    dtype: str = "float32",
    quantize: Kind | None = None,
    seed: int = 0,
) -> BenchReport:
    """Measure the engines, alternating, after one round of each that does not count.

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
    engines: dict[str, Run] = {}
    with tempfile.TemporaryDirectory(prefix="gesso-bench-") as place:
        folder = Path(place)
        write_checkpoint(folder, seed)
        plain = load_engine(folder, device, dtype)
        engines[OURS] = ours(_gemma(plain), seed)
        small = plain if quantize is None else load_engine(folder, device, dtype, quantize=quantize)
        if quantize is not None:
            engines[f"{OURS} {quantize}"] = ours(_gemma(small), seed)
        for name, kind in ((THEIRS, dtype), (f"{THEIRS} float32", "float32")):
            if name == THEIRS or kind != dtype:
                reference: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(
                    folder, dtype=getattr(torch, kind)
                )
                engines[name] = theirs(reference.to(device).eval(), seed)
    torch.manual_seed(seed)
    timings = []
    with torch.inference_mode():
        for length in prompt_tokens:
            for rows in concurrency:
                prompts = torch.randint(VOCABULARY, (rows, length)).to(device)
                timings.append(cell(engines, prompts, steps, rounds))
    return BenchReport(
        parameters=sum(parameter.numel() for parameter in plain.model.parameters()),
        device=device,
        dtype=dtype,
        threads=torch.get_num_threads(),
        steps=steps,
        rounds=rounds,
        timings=timings,
        conversation=converse(plain, rounds),
    )


def _gemma(engine: Engine) -> DiffusionGemma:
    assert isinstance(engine.model, DiffusionGemma), "so the checkpoint is written"
    return engine.model


def ours(model: DiffusionGemma, seed: int) -> Run:
    def run(prompts: Tensor, steps: int) -> None:
        # the confidence is never reached, so that both run the same number of steps
        generation = GenerationConfig(
            max_denoising_steps=steps, confidence_threshold=1e-9, eos_token_id=[]
        )
        caches = [model.new_cache() for _ in prompts]
        rows = zip(prompts.tolist(), caches, strict=True)
        model.run([model.reading(prompt, cache, 1) for prompt, cache in rows])
        works: list[Work[Step, None]] = []
        for number, cache in enumerate(caches):
            cache.length = prompts.shape[1]
            noise = Noise(seed + number, model.config.vocab_size, model.device)
            works.append(denoise(model, cache, CANVAS, generation, noise))
        _together(model, works)

    return run


def _together(model: DiffusionGemma, works: Sequence[Work[Step, None]]) -> None:
    """Do works of as many steps side by side."""
    states: list[list[Tensor]] = [[] for _ in works]
    while True:
        asked = []
        for work, sent in zip(works, states, strict=True):
            try:
                found = go_on(work, sent)
                while not isinstance(found, list):
                    found = next(work)
            except StopIteration:
                continue
            asked += found
        if not asked:
            return
        states = [[one] for one in model.run(asked)]


def theirs(reference: Any, seed: int) -> Run:
    def run(prompts: Tensor, steps: int) -> None:
        torch.manual_seed(seed)
        reference.generate(
            prompts,
            max_new_tokens=CANVAS,
            max_denoising_steps=steps,
            confidence_threshold=1e-9,
            stability_threshold=1,
            eos_token_id=None,
        )

    return run


def cell(engines: Mapping[str, Run], prompts: Tensor, steps: int, rounds: int) -> list[Timing]:
    """Each engine's timing behind prompts [B, T], in turns, after one round that does not count."""
    taken: dict[tuple[str, int], list[float]] = {}
    peaks: dict[str, int] = {}
    cuda = prompts.device.type == "cuda"
    for number in range(rounds + 1):
        for name, run in engines.items():
            for count in (1, steps):
                if cuda:
                    torch.cuda.synchronize()
                    torch.cuda.reset_peak_memory_stats()
                began = time.perf_counter()
                run(prompts, count)
                if cuda:
                    torch.cuda.synchronize()
                    peaks[name] = max(peaks.get(name, 0), torch.cuda.max_memory_allocated())
                if number:
                    taken.setdefault((name, count), []).append(time.perf_counter() - began)
    rows, length = prompts.shape
    found = []
    for name in engines:
        one, all_of_them = (statistics.median(taken[name, count]) for count in (1, steps))
        step = (all_of_them - one) / (steps - 1)
        found.append(Timing(length, rows, name, max(0.0, one - step), step, peaks.get(name)))
    return found


def write_checkpoint(folder: Path, seed: int) -> None:
    """Write the random checkpoint to a folder, with the tokenizer and the template of `sketch`."""
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
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(SKETCH / name, folder)
