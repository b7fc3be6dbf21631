"""`gesso bench`: our engine beside `transformers`, on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .options import Json

Prompt = Annotated[int, typer.Option("--prompt-tokens", help="Length of the prompt.")]
Steps = Annotated[int, typer.Option("--steps", help="Denoising steps a canvas.")]
Rounds = Annotated[int, typer.Option("--rounds", help="Timed rounds of each engine.")]


def bench(
    prompt_tokens: Prompt = 256, steps: Steps = 8, rounds: Rounds = 3, as_json: Json = False
) -> None:
    """Measure our engine and `transformers` on the same random checkpoint, in turns."""
    from ...engine.benchmarks.speed import run_bench
    from .output import print_json, print_table

    report = run_bench(prompt_tokens=prompt_tokens, steps=steps, rounds=rounds)
    if as_json:
        rates = [
            {
                "steps_per_second": timing.steps_per_second,
                "tokens_per_second": timing.tokens_per_second,
            }
            for timing in report.timings
        ]
        timings = [
            asdict(timing) | rate for timing, rate in zip(report.timings, rates, strict=True)
        ]
        print_json(asdict(report) | {"timings": timings, "ratio": report.ratio})
        return
    print_table(
        f"{report.parameters / 1e6:.0f} M parameters, float32, {report.threads} threads:"
        f" prompt of {report.prompt_tokens}, {report.steps_per_canvas} steps on a canvas of 256,"
        f" median of {report.rounds} rounds in turns",
        ("engine", "seconds", "steps/s", "tokens/s"),
        [
            (
                timing.name,
                round(timing.seconds, 2),
                round(timing.steps_per_second, 2),
                round(timing.tokens_per_second, 1),
            )
            for timing in report.timings
        ],
    )
    print(f"gesso is {report.ratio:.2f} times as fast")
