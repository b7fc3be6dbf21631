"""The benchmark of a GPU at a tiny size, on whatever there is."""

from __future__ import annotations

import pytest
import torch
from gesso.engine.benchmarks import gpu
from gesso.engine.benchmarks.gpu import (
    TINY,
    main,
    random_model,
    step_bytes,
    to_float8,
    weight_bytes,
)


@pytest.mark.slow
def test_it_prints_every_cell_and_differs_from_transformers_by_rounding_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--tiny"])
    printed = capsys.readouterr().out
    difference = float(printed.split("transformers' by ")[1].split()[0])
    assert difference < (1e-4 if not torch.cuda.is_available() else 0.3)
    rows = [line.split() for line in printed.splitlines()]
    cells = {(row[0], *row[1:3]) for row in rows if row and row[0] in ("gesso", "transformers")}
    for engine in ("gesso", "transformers"):
        assert {(engine, "48", "1"), (engine, "48", "4")} <= cells
    assert sum(line.startswith("gesso, FP8") for line in printed.splitlines()) == 2


@pytest.mark.slow
def test_what_there_is_no_time_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--tiny", "--seconds", "0"])
    assert "gesso, 48 tokens, 4 at once: left out, there is no time" in capsys.readouterr().out


def test_a_step_reads_all_weights_the_embeddings_again_and_what_a_canvas_sees() -> None:
    with torch.inference_mode():
        model = random_model(TINY, torch.device("cpu"))
        own = 4 * sum(one.numel() for one in model.state_dict().values())
        assert weight_bytes(model) == own
        sliding, full = 5 * 2 * 2 * 16 * 31 * 4, 2 * 1 * 32 * 100 * 4
        embeddings = 4 * 512 * 32
        assert step_bytes(model, 100, 3) == own + embeddings + 3 * (sliding + full)
        to_float8(model)
        assert weight_bytes(model) < 0.6 * own


def test_the_real_shape_has_the_parameters_of_the_published_checkpoint() -> None:
    with torch.device("meta"):
        model = gpu.random_model(gpu.REAL, torch.device("meta"))
    assert 25.0e9 < sum(one.numel() for one in model.parameters()) < 25.5e9
