"""The comparison of shapes of the bundled model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from gesso.engine import load_engine
from gesso.engine.config import TextConfig
from gesso.engine.model import DiffusionGemma
from gesso.engine.training.ablation import SHAPES, Figures, Shape, losses, report, try_shape
from gesso.engine.training.train import SHAPE

FIGURES = Figures(2_300_000, 4_600_000, 300, 0.5, 0.75, 0.25)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_is_a_model_that_could_be_bundled(shape: Shape) -> None:
    merged: dict[str, Any] = {**SHAPE, **shape.changes, "vocab_size": 600 + shape.words}
    model = DiffusionGemma(TextConfig(**merged))
    assert 2 * sum(parameter.numel() for parameter in model.parameters()) < 24_000_000
    text = torch.randint(600, (1, 12))
    cache = model.new_cache()
    assert model.encode(text, cache).shape == (1, 12, merged["hidden_size"])


def test_a_shape_differs_from_the_shipped_one_in_one_respect() -> None:
    for shape in SHAPES[1:]:
        others = [shape.changes != {}, shape.words != SHAPES[0].words]
        others.append(shape.canvas_length != SHAPES[0].canvas_length)
        assert sum(others) == 1


def test_the_trained_model_loses_less_than_a_guess_and_the_same_each_time() -> None:
    engine = load_engine("sketch")
    next_token, canvas = losses(engine, 2)
    assert (next_token, canvas) == losses(engine, 2)
    assert 0 < next_token < canvas < 1


def test_a_shape_that_is_done_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(json.dumps(asdict(FIGURES)))
    assert try_shape(tmp_path, SHAPES[0], minutes=1000, records=1) == FIGURES
    assert not (tmp_path / "state.pt").exists()


def test_the_table_has_a_row_for_every_shape() -> None:
    row = report({"as shipped": FIGURES}, 4.0).splitlines()[2]
    assert row == "| as shipped | 2.30 M | 4.6 | 300 | 0.500 | 0.750 | 25.0% |"
