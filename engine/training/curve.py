"""Draw a training run's losses: `python -m gesso.engine.training.curve FOLDER` reads `log.jsonl`
in it and writes `curve.svg` beside it. Needs `gesso[training]`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

LABELS = {"next_token": "next token (encoder)", "canvas": "canvas (denoiser)"}
_SMOOTHED = 9
"""Lines of the log that one point of a curve is the mean of."""


def read_losses(log: Path) -> dict[str, list[tuple[int, float]]]:
    """Each loss by its step."""
    losses: dict[str, list[tuple[int, float]]] = {name: [] for name in LABELS}
    for line in log.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name in losses:
            if name in row:
                losses[name].append((row["step"], row[name]))
    return losses


def smoothed(values: Sequence[float]) -> list[float]:
    """The mean of each value and its neighbours, fewer of them towards the ends."""
    half = _SMOOTHED // 2
    windows = [values[max(0, place - half) : place + half + 1] for place in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def draw(folder: Path) -> Path:
    """Write the picture; returns its path."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "gesso", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        losses = read_losses(folder / "log.jsonl")
        for (name, points), style in zip(losses.items(), "-:", strict=True):
            steps = [step for step, _ in points]
            axes.plot(steps, smoothed([loss for _, loss in points]), style, label=LABELS[name])
        axes.set(yscale="log", xlabel="step", ylabel="loss (nats a token)")
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False)
        figure.savefig(folder / "curve.svg", metadata={"Date": None})
    return folder / "curve.svg"


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw a training run's losses.")
    parser.add_argument("folder", type=Path)
    print(draw(parser.parse_args().folder))


if __name__ == "__main__":
    main()
