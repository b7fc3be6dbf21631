"""What a constraint of twenty tools costs: `python -m gesso.engine.benchmarks.projection`.

The tools are declarations of the Berkeley Function-Calling Leaderboard, lifted to a vocabulary of
131,072 tokens; then the best word and the posterior of one canvas of 256 positions are found under
random log-probabilities, beside one step of the sampler's own softmax over them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from ..constraint import compile_automaton, posterior, tools, viterbi
from ..constraint.callform import GEMMA_CALLS
from ..request import ToolDeclaration
from ..sampler import temper
from .bfcl import FOLDER, read_questions
from .tekken import read_tekken

CANVAS = 256


def _declared(count: int) -> list[ToolDeclaration]:
    """The first tools of the leaderboard's simple questions, each name once."""
    found: dict[str, ToolDeclaration] = {}
    for question in read_questions(FOLDER / "simple_python.jsonl"):
        for tool in question.declarations:
            found.setdefault(tool.name, tool)
    return list(found.values())[:count]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    vocabulary = read_tekken().vocabulary()
    spare = [index for index, text in enumerate(vocabulary.tokens) if text is None]
    controls = dict(zip(GEMMA_CALLS.controls, spare[-3:], strict=True))
    vocabulary = replace(vocabulary, controls={**vocabulary.controls, **controls})
    compile_automaton(tools(_declared(1)), vocabulary)  # the vocabulary's own part
    began = time.perf_counter()
    constraint = tools(_declared(options.tools))
    compiled = time.perf_counter()
    automaton = compile_automaton(constraint, vocabulary)
    lifted = time.perf_counter()
    print(
        f"{options.tools} tools, {len(vocabulary)} tokens: {compiled - began:.3f} s to an automaton"
        f" over bytes, {lifted - compiled:.3f} s to {automaton.states} states,"
        f" {len(automaton.source)} edges, {automaton.classes} classes"
    )
    torch.manual_seed(0)
    logits = torch.randn(CANVAS, len(vocabulary)) * 3
    logp = logits.log_softmax(-1)
    ways: dict[str, Callable[[], object]] = {
        "temper (softmax, entropy, argmax)": lambda: temper(logits.clone(), 1.0),
        "viterbi": lambda: viterbi(automaton, logp, automaton.start, 1024, score_tail=False),
        "posterior": lambda: posterior(automaton, logp, automaton.start, 1024, score_tail=False),
    }
    for name, way in ways.items():
        seconds = []
        for _ in range(options.rounds):
            began = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - began)
        print(f"{name}: {statistics.median(seconds) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
