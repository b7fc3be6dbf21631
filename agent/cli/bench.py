"""`gesso bench`: our engine beside `transformers`, on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import Json

if TYPE_CHECKING:
    from ...engine.benchmarks.speed import Timing

Prompts = Annotated[
    list[int] | None, typer.Option("--prompt-tokens", metavar="N", help="Lengths of the prompt.")
]
Concurrency = Annotated[
    list[int] | None, typer.Option("--concurrency", metavar="N", help="Requests at once.")
]
Steps = Annotated[int, typer.Option("--steps", min=2, help="Denoising steps that are timed.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Timed rounds of each engine.")]
Device = Annotated[str, typer.Option("--device", metavar="D", help="cpu, cuda, …")]
Dtype = Annotated[str, typer.Option("--dtype", metavar="T", help="float32, bfloat16, …")]
Quantize = Annotated[
    Literal["int8", "int4"] | None,
    typer.Option("--quantize", help="Measure ours with smaller weights too."),
]


def bench(
    prompt_tokens: Prompts = None,
    concurrency: Concurrency = None,
    steps: Steps = 4,
    rounds: Rounds = 3,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    as_json: Json = False,
) -> None:
    """Measure our engine and `transformers` on the same random checkpoint, in turns.

    Lengths and numbers may be given several times; by default a prompt of 512 and 1 and 4 requests.
    Then ours holds a conversation of ten turns: how long the tenth reads its prompt by the first.
    """
    from ...engine.benchmarks.conversation import TURNS
    from ...engine.benchmarks.speed import THEIRS, USUAL_STEPS, run_bench
    from .output import print_json, print_table

    report = run_bench(
        prompt_tokens=prompt_tokens or (512,),
        concurrency=concurrency or (1, 4),
        steps=steps,
        rounds=rounds,
        device=device,
        dtype=dtype,
        quantize=quantize,
    )
    talk = report.conversation
    if as_json:
        cells = [[_json(one) for one in cell] for cell in report.timings]
        last = {"last_by_first": talk.last_by_first}
        print_json(asdict(report) | {"timings": cells, "conversation": asdict(talk) | last})
        return
    peaks = any(one.peak is not None for cell in report.timings for one in cell)
    rows = []
    for cell in report.timings:
        theirs = next(one for one in cell if one.engine == THEIRS)
        for one in cell:
            rows.append(
                (
                    one.engine,
                    one.prompt_tokens,
                    one.concurrency,
                    round(1000 * one.prefill_seconds),
                    round(1000 * one.step_seconds, 1),
                    round(one.tokens_per_second, 1),
                    f"{one.tokens_per_second / theirs.tokens_per_second:.2f}",
                    *([f"{(one.peak or 0) / 2**30:.2f} GiB"] if peaks else []),
                )
            )
    print_table(
        f"{report.parameters / 1e6:.0f} M parameters, {report.dtype}, {report.device},"
        f" {report.threads} threads: a canvas of 256, median of {report.rounds} rounds in turns;"
        f" tokens/s at {USUAL_STEPS} steps",
        (
            *("engine", "prompt", "at once", "prefill ms", "step ms", "tokens/s", "times"),
            *(["peak"] if peaks else []),
        ),
        rows,
    )
    first, last = (1000 * talk.prefill_seconds[place] for place in (0, -1))
    print(
        f"A conversation of {TURNS} turns: {first:.0f} ms for the first one's prompt of"
        f" {talk.prompt_tokens[0]} tokens, {last:.0f} ms for the last one's of"
        f" {talk.prompt_tokens[-1]}, of which {talk.cached_tokens[-1]} were kept:"
        f" {talk.last_by_first:.1%}."
    )


def _json(one: Timing) -> dict[str, Any]:
    return asdict(one) | {"tokens_per_second": one.tokens_per_second}
