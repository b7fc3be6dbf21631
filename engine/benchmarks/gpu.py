"""Every figure of a GPU, in one call of less than ten minutes: a random checkpoint of the 26B's
shape, made in the GPU's memory, and `transformers` on the same weights.

    python -m gesso.engine.benchmarks.gpu            # on one GPU with 80 GB or more
    python -m gesso.engine.benchmarks.gpu --tiny     # the same script anywhere, in seconds

A row is printed as soon as it is measured, and what does not fit into `--seconds` is named and left
out. A step's *floor* is what it must read, over the bandwidth of a copy measured first: all weights
(of 128 experts 256 tokens with 8 each choose nearly all), the embeddings once more for what
conditions the next step, and the keys and values that a canvas sees. Random weights choose experts
evenly, as a trained router does not quite.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import published, replace_weights
from ..config import TextConfig
from ..float8 import Float8
from ..kernels import launches_on
from ..model import DiffusionGemma
from .speed import CANVAS, USUAL_STEPS, Run, Timing, cell, ours, theirs

REAL: dict[str, Any] = {
    "vocab_size": 262_144,
    "hidden_size": 2816,
    "intermediate_size": 2112,
    "num_hidden_layers": 30,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "global_head_dim": 512,
    "num_global_key_value_heads": 2,
    "num_experts": 128,
    "top_k_experts": 8,
    "moe_intermediate_size": 704,
    "sliding_window": 1024,
    "max_position_embeddings": 262_144,
}
"""The text model of `google/diffusiongemma-26B-A4B-it`."""
TINY: dict[str, Any] = REAL | {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "global_head_dim": 32,
    "num_global_key_value_heads": 1,
    "num_experts": 8,
    "top_k_experts": 2,
    "moe_intermediate_size": 16,
    "sliding_window": 32,
    "max_position_embeddings": 4096,
}
ROPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    "full_attention": {
        "rope_type": "proportional",
        "rope_theta": 1_000_000.0,
        "partial_rotary_factor": 0.25,
    },
}
SEED = 0


@dataclass(frozen=True)
class Sizes:
    """What is run: lengths of prompts, in bf16 and in FP8, numbers of requests, steps of a canvas,
    rounds that count, bytes of a copy, and the seconds that FP8, which comes last, may need."""

    shape: dict[str, Any]
    prompts: Sequence[int]
    float8_prompt: int
    requests: Sequence[int]
    steps: int
    rounds: int
    copied: int
    kept_back: float


FULL = Sizes(REAL, (512, 4096, 16_384), 1024, (1, 4, 8), USUAL_STEPS, 2, 4 << 30, 100.0)
SMALL = Sizes(TINY, (48,), 16, (1, 4), 2, 1, 1 << 22, 0.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a tiny shape, on any machine")
    parser.add_argument("--seconds", type=float, default=540.0, help="what all of it may take")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = SMALL if options.tiny else FULL
    clock = Clock(options.seconds)
    with torch.inference_mode():
        _print_all(sizes, device, clock)


class Clock:
    """What is left of the time that all of it may take."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._longest = 0.0

    @contextmanager
    def part(self, name: str, kept_back: float = 0.0) -> Iterator[bool]:
        """A part that is to be run, if twice as long as the longest one so far is left, and so many
        seconds more for what comes after it."""
        began = time.monotonic()
        runs = began + 2 * self._longest + kept_back < self._end
        if not runs:
            print(f"{name}: left out, there is no time")
        try:
            yield runs
        except torch.cuda.OutOfMemoryError:
            print(f"{name}: does not fit in the GPU's memory")
            torch.cuda.empty_cache()
        self._longest = max(self._longest, time.monotonic() - began)


def _print_all(sizes: Sizes, device: torch.device, clock: Clock) -> None:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a processor"
    print(f"{name}, torch {torch.__version__}")
    bandwidth = copy_bandwidth(device, sizes.copied)
    print(f"a copy: {bandwidth / 1e9:,.0f} GB/s, read and written")
    began = time.perf_counter()
    model = random_model(sizes.shape, device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    seconds = time.perf_counter() - began
    print(f"{parameters / 1e9:.3f}B parameters, made in {seconds:.1f} s")
    if launches_on(device):
        with clock.part("parts of a step") as runs:
            if runs:
                print_parts(model)
    reference = shared_reference(model, sizes.shape)
    print(f"a pass differs from transformers' by {difference(model, reference):.1e} of its size")
    engines = {"gesso": ours(model, SEED), "transformers": theirs(reference, SEED)}
    print(HEADING)
    found: dict[tuple[str, int, int], Timing] = {}
    for length in sizes.prompts:
        for requests in sizes.requests:
            for engine, run in engines.items():
                with clock.part(f"{engine}, {length} tokens, {requests} at once") as runs:
                    if runs:
                        timing = timed(engine, run, length, requests, sizes, device)
                        found[engine, length, requests] = timing
                        floor = step_bytes(model, length, requests) / bandwidth
                        print(shown(timing, floor))
    for engine in engines:
        print_gain(engine, sizes, found)
    del reference, engines
    to_float8(model)
    run = ours(model, SEED)
    length = sizes.float8_prompt
    print(f"in FP8, experts and projections; {weight_bytes(model) / 1e9:.1f} GB of weights")
    for requests in sizes.requests[:2]:
        with clock.part(f"FP8, {requests} at once") as runs:
            if runs:
                timing = timed("gesso, FP8", run, length, requests, sizes, device)
                print(shown(timing, step_bytes(model, length, requests) / bandwidth))


HEADING = (
    "engine        prompt  requests  prompt ms  step ms  tokens/s    peak GB  floor ms  over floor"
)


def shown(timing: Timing, floor: float) -> str:
    """A row; `floor` in seconds."""
    step = timing.step_seconds
    peak = "-" if timing.peak is None else f"{timing.peak / 1e9:.1f}"
    return (
        f"{timing.engine:12} {timing.prompt_tokens:7} {timing.concurrency:9}"
        f" {timing.prefill_seconds * 1e3:10.1f} {step * 1e3:8.2f}"
        f" {timing.tokens_per_second:9.0f} {peak:>10} {floor * 1e3:9.2f} {step / floor:11.2f}"
    )


def print_gain(engine: str, sizes: Sizes, found: dict[tuple[str, int, int], Timing]) -> None:
    """How much more several requests at once write than one."""
    for length in sizes.prompts:
        for requests in sizes.requests[1:]:
            many, one = found.get((engine, length, requests)), found.get((engine, length, 1))
            if many and one:
                gain = many.tokens_per_second / one.tokens_per_second
                print(f"{engine}, {length} tokens: {requests} at once write {gain:.2f} times one")


def timed(
    engine: str, run: Run, length: int, requests: int, sizes: Sizes, device: torch.device
) -> Timing:
    """The medians of some rounds, after one that does not count."""
    torch.manual_seed(SEED)
    prompts = torch.randint(sizes.shape["vocab_size"], (requests, length)).to(device)
    (timing,) = cell({engine: run}, prompts, sizes.steps, sizes.rounds)
    return timing


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Bytes a second, those read and those written, of the median of ten copies."""
    source = torch.randint(256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / milliseconds(lambda: target.copy_(source), device, 10) * 1e3


def milliseconds(work: Callable[[], object], device: torch.device, rounds: int = 20) -> float:
    """The median of some rounds, after two that do not count."""
    taken = []
    for number in range(rounds + 2):
        if device.type == "cuda":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            work()
            last.record()
            last.synchronize()
            elapsed = first.elapsed_time(last)
        else:
            began = time.perf_counter()
            work()
            elapsed = (time.perf_counter() - began) * 1e3
        if number > 1:
            taken.append(elapsed)
    return statistics.median(taken)


def weight_bytes(model: DiffusionGemma) -> int:
    """Of all weights, as they are stored."""
    return sum(one.numel() * one.itemsize for one in model.state_dict().values())


def step_bytes(model: DiffusionGemma, length: int, requests: int) -> int:
    """The bytes that a step must read."""
    config, embeddings = model.config, model.embed_tokens.weight
    sliding, full = config.cache_bytes(model.dtype)
    cached = sliding * min(length, config.sliding_window - 1) + full * length
    return weight_bytes(model) + embeddings.nbytes + requests * cached


def random_model(shape: dict[str, Any], device: torch.device) -> DiffusionGemma:
    """A model of a shape with random weights, made where it is to be: in bf16 on a GPU."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    layers = shape["num_hidden_layers"]
    kinds = ["full_attention" if (n + 1) % 6 == 0 else "sliding_attention" for n in range(layers)]
    config = TextConfig.model_validate(shape | {"layer_types": kinds, "rope_parameters": ROPE})
    with torch.device("meta"):
        model = DiffusionGemma(config)
    model = model.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    torch.manual_seed(SEED)
    for value in model.state_dict().values():
        if value.ndim >= 2:
            value.normal_(std=0.02)
        else:
            value.fill_(1.0)
    return model


def shared_reference(model: DiffusionGemma, shape: dict[str, Any]) -> Any:
    """`transformers`' model of the same shape, with our weights for its own."""
    from transformers import (
        DiffusionGemmaConfig,
        DiffusionGemmaForBlockDiffusion,
        DiffusionGemmaTextConfig,
        Gemma4VisionConfig,
    )

    kinds: list[Any] = list(model.config.layer_types)
    text = DiffusionGemmaTextConfig(**shape, layer_types=kinds, rope_parameters=ROPE)
    vision = Gemma4VisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=16,
    )
    config = DiffusionGemmaConfig(text_config=text, vision_config=vision, canvas_length=CANVAS)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(model.embed_tokens.weight.dtype)
    try:
        with torch.device(model.device):
            reference = DiffusionGemmaForBlockDiffusion(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(usual)
    theirs = dict(reference.named_parameters(remove_duplicate=False))
    theirs |= dict(reference.named_buffers(remove_duplicate=False))
    for name, value in published(model).items():
        theirs[name].data = value
    return reference


def difference(model: DiffusionGemma, reference: Any) -> float:
    """How far our logits of a canvas behind a prompt are from theirs, of theirs."""
    torch.manual_seed(SEED)
    vocabulary = model.config.vocab_size
    prompt = torch.randint(vocabulary, (1, 40)).to(model.device)
    canvas = torch.randint(vocabulary, (CANVAS,)).to(model.device)
    cache = model.new_cache()
    model.encode(prompt, cache)
    (states,) = model.run([model.drafting(canvas, cache, cache.length)])
    found = model.logits(states)
    past = reference.model.encoder(input_ids=prompt).past_key_values
    expected = reference(decoder_input_ids=canvas[None], past_key_values=past).logits[0].float()
    return float((found - expected).norm() / expected.norm())


def to_float8(model: DiffusionGemma) -> None:
    """Round the weights of projections and experts to FP8."""

    def rounded(_: str, weight: Tensor) -> Float8:
        found = Float8(weight.shape, weight.device)
        parts = [(found.whole, weight)]
        if weight.ndim == 3:  # one expert after the other: a float32 copy of all would be large
            parts = [(found.whole[n], one) for n, one in enumerate(weight)]
        for into, one in parts:
            into.fill(one)
        return found

    replace_weights(model, rounded)


def print_parts(model: DiffusionGemma) -> None:
    """What the parts of a step take by themselves: one canvas, in milliseconds."""
    from ..kernels.attention import attended, table_row
    from ..kernels.experts import multiplied, visited
    from ..kernels.scores import Scores

    config, device = model.config, model.device
    layer = model.stack[0]
    x = torch.randn(CANVAS, config.hidden_size, device=device, dtype=torch.bfloat16)
    shares, chosen = layer.router(x)
    gate_up, down = layer.experts.gate_up_proj, layer.experts.down_proj
    weights = 2 * (gate_up.numel() + down.numel())
    for name, way in (("torch's grouped product", multiplied), ("our kernel", visited)):
        taken = milliseconds(lambda way=way: way(x, shares, chosen, gate_up, down), device)
        print(f"experts of a layer, {name}: {taken:.3f} ms, {weights / taken / 1e6:,.0f} GB/s")
    raw = model.outputs(x)
    scores = Scores.of(raw, config.final_logit_softcapping, 0.8)
    size = raw.numel() * raw.itemsize
    uniforms = torch.rand(CANVAS, device=device)
    for name, work in (
        ("head", lambda: model.outputs(x)),
        ("reading of its outputs", lambda: Scores.of(raw, config.final_logit_softcapping, 0.8)),
        ("a draw of each", lambda: scores.drawn(uniforms)),
        ("soft embeddings", lambda: model.soften(scores.probabilities)),
    ):
        print(f"{name}: {milliseconds(work, device):.3f} ms (outputs of {size / 1e6:.0f} MB)")
    for number in (0, config.layer_types.index("full_attention")):
        attention = model.stack[number].self_attn
        groups, width = attention.groups, attention.head_size
        seen = min(4096, config.sliding_window - 1) if attention.sliding else 4096
        q, k, v = (
            torch.randn(1, CANVAS, heads, width, device=device, dtype=torch.bfloat16)
            for heads in (attention.heads, groups, groups)
        )
        keys = torch.randn(2, 1, groups, seen, width, device=device, dtype=torch.bfloat16)
        table = torch.tensor([table_row(keys[0], keys[1])], device=device)
        taken = milliseconds(lambda q=q, k=k, v=v, t=table: attended(q, k, v, t), device)
        kind = "sliding" if attention.sliding else "full"
        print(f"attention of a {kind} layer to {seen} tokens: {taken:.3f} ms")


if __name__ == "__main__":
    main()
