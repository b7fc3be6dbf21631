"""What a constraint of twenty tools costs: `python -m gesso.engine.benchmarks.projection`.

The tools are declarations of the Berkeley Function-Calling Leaderboard, lifted to the tokens of
mistral's vocabulary: its first 32,768 beside a step of the model of `speed` (about 100 million
parameters), and all of them, repeated up to 262,144, beside the sampler's own softmax at the size
of the real model. The best word, the posterior and a joint sample of canvases of 256 positions are
found under random log-probabilities, for one canvas and for a batch. On a GPU where there is one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import torch

from ..checkpoint import load_weights
from ..config import GenerationConfig, read_config
from ..constraint import Chain, compile_automaton, posterior, sample, tools, viterbi
from ..constraint.callform import GEMMA_CALLS
from ..request import ToolDeclaration
from ..sampler import Noise, denoise, temper
from ..vocabulary import Vocabulary
from ..work import alone
from . import speed
from .bfcl import FOLDER, read_questions
from .tekken import read_tekken

CANVAS = 256
SIZES = (speed.VOCABULARY, 262_144)
BUDGET = 1024  # tokens


def _declared(count: int) -> list[ToolDeclaration]:
    """The first tools of the leaderboard's simple questions, each name once."""
    found: dict[str, ToolDeclaration] = {}
    for question in read_questions(FOLDER / "simple_python.jsonl"):
        for tool in question.declarations:
            found.setdefault(tool.name, tool)
    return list(found.values())[:count]


def _vocabulary(size: int) -> Vocabulary:
    """The first tokens of mistral's vocabulary, or all of them and some again, and the control
    tokens of a tool call."""
    whole = read_tekken().vocabulary()
    tokens = (*whole.tokens, *islice(cycle(filter(None, whole.tokens)), size))[:size]
    spare = [index for index, text in enumerate(tokens) if text is None]
    controls = dict(zip(GEMMA_CALLS.controls, spare[-len(GEMMA_CALLS.controls) :], strict=True))
    return Vocabulary(tokens, {**whole.controls, **controls}, whole.ends, whole.pad)


def _step_seconds(rounds: int, device: torch.device) -> float:
    """The median step of the model of `speed`, its sampling included."""
    with tempfile.TemporaryDirectory(prefix="gesso-bench-") as place:
        speed.write_checkpoint(Path(place), 0)
        config = read_config(Path(place) / "config.json")
        model = load_weights(Path(place), config, torch.float32).to(device)
    cache = model.new_cache()
    model.encode(torch.randint(speed.VOCABULARY, (1, CANVAS), device=device), cache)
    generation = GenerationConfig(max_denoising_steps=rounds + 1, confidence_threshold=1e-9)
    noise = Noise(0, speed.VOCABULARY, device)
    steps = alone(model, denoise(model, cache, CANVAS, generation, noise))
    return _median(lambda: next(steps), rounds, device)


def _median(work: Callable[[], object], rounds: int, device: torch.device) -> float:
    """Seconds, after a first time that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def _ways(chains: Sequence[Chain]) -> Iterator[tuple[str, Callable[[], object]]]:
    generator = torch.Generator().manual_seed(0)
    yield "viterbi", lambda: viterbi(chains)
    yield "posterior, of classes", lambda: posterior(chains)
    yield "posterior, of tokens", lambda: [one.tokens for one in posterior(chains)]
    yield "sample", lambda: sample(chains, generator, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.inference_mode():
        step = _step_seconds(options.rounds, device)
        print(f"{device}, {torch.get_num_threads()} threads")
        print(f"a step of 100 million parameters, one canvas: {step * 1e3:.1f} ms")
        for size in SIZES:
            _measure(size, options, device, step if size == speed.VOCABULARY else None)


def _measure(
    size: int, options: argparse.Namespace, device: torch.device, step: float | None
) -> None:
    """Print a row for each way, in milliseconds a canvas and in parts of a step of one canvas."""
    vocabulary = _vocabulary(size)
    compile_automaton(tools(_declared(1)), vocabulary)  # the vocabulary's own part
    began = time.perf_counter()
    constraint = tools(_declared(options.tools))
    compiled = time.perf_counter()
    automaton = compile_automaton(constraint, vocabulary)
    lifted = time.perf_counter()
    print(
        f"{options.tools} tools, {size} tokens: {compiled - began:.3f} s to an automaton over"
        f" bytes, {lifted - compiled:.3f} s to {automaton.states} states,"
        f" {len(automaton.source)} edges, {automaton.classes} classes"
    )
    torch.manual_seed(0)
    logits = torch.randn(CANVAS, size, device=device) * 3
    logp = logits.log_softmax(-1)
    softmax = _median(lambda: temper(logits.clone(), 1.0), options.rounds, device)
    print(f"  temper (softmax, entropy, argmax): {softmax * 1e3:.1f} ms")
    chain = Chain(automaton, logp, automaton.start, BUDGET, score_tail=False)
    for count in (1, options.batch):
        for name, work in _ways([chain] * count):
            seconds = _median(work, options.rounds, device) / count
            share = f", {seconds / step:.1%} of a step" if step else ""
            print(f"  {name}, a batch of {count}: {seconds * 1e3:.1f} ms a canvas{share}")


if __name__ == "__main__":
    main()
