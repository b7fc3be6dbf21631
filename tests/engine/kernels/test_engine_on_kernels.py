"""Whole turns with all kernels in their places, beside the same turns without. Without a GPU the
kernels are interpreted (`tests/conftest.py`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from gesso.engine import Message, Request, Result, choice, load_engine, regex
from oracle import Shape, save_checkpoint

pytest.importorskip("triton", reason="Triton is not installed")


def written(folder: Path) -> list[Result]:
    engine = load_engine(folder, dtype="float32")
    messages = [Message("user", "ab")]
    requests = [
        Request(messages, constraint=regex("[ab]{3,7}"), seed=1, max_tokens=12),
        Request(messages, constraint=choice(["a", "b", "ab"]), seed=2, max_tokens=12),
        Request(messages, seed=3, max_tokens=12),
    ]
    return [engine.generate(request) for request in requests]


@pytest.mark.slow
def test_turns_are_what_they_are_without_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, Shape("one layer of each kind", layers="sf", window=8))
    plain = written(tmp_path)
    if not torch.cuda.is_available():
        for module in ("model", "sampler", "checkpoint"):
            monkeypatch.setattr(f"gesso.engine.{module}.launches_on", lambda device: True)
    found = written(tmp_path)
    assert re.fullmatch("[ab]{3,7}", found[0].text)
    assert found[1].text in ("a", "b", "ab")
    if not torch.cuda.is_available():  # in float32 no rounding is large enough for another token
        assert [one.text for one in found] == [one.text for one in plain]
        steps = [[one.usage.denoising_steps for one in ones] for ones in (found, plain)]
        assert steps[0] == steps[1]
