"""One step's distribution, beside the same in double precision."""

from __future__ import annotations

import pytest
import torch
from gesso.engine import load_engine
from gesso.engine.config import GenerationConfig
from gesso.engine.model import DiffusionGemma
from gesso.engine.sampler import Distribution, Noise, Step, denoise, temper
from gesso.engine.work import alone


@pytest.mark.parametrize(("length", "vocabulary"), [(1, 7), (20, 1134), (300, 5000), (3, 300_000)])
@pytest.mark.parametrize("spread", [0.1, 30.0])
def test_it_is_the_softmax_and_its_entropy(length: int, vocabulary: int, spread: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(length, vocabulary) * spread
    exact = (logits.double() / 0.6).log_softmax(-1)
    out = torch.empty_like(logits)
    found = temper(logits.clone(), 0.6, out)
    assert found.probabilities is out
    assert torch.allclose(found.probabilities.double(), exact.exp(), rtol=1e-4, atol=1e-9)
    assert torch.allclose(found.log_probabilities().double(), exact, atol=1e-4)
    assert torch.allclose(found.entropy.double(), -(exact.exp() * exact).sum(-1), atol=1e-4)
    assert torch.equal(found.best, exact.argmax(-1))
    fresh = temper(logits.clone(), 0.6)
    assert torch.equal(fresh.probabilities, found.probabilities)


@torch.inference_mode()
def test_a_canvas_is_written_in_the_same_two_tables_from_its_first_step_to_its_last() -> None:
    engine = load_engine("sketch")
    model, config = engine.model, GenerationConfig(max_denoising_steps=4, confidence_threshold=1e-9)
    assert isinstance(model, DiffusionGemma)
    cache = model.new_cache()
    model.encode(torch.arange(100, 130)[None], cache)
    noise = Noise(0, model.config.vocab_size, model.device)
    known = [105, 7, 9]
    steps: list[Step] = list(alone(model, denoise(model, cache, 32, config, noise, known=known)))
    assert len(steps) == 4
    found = [one.distribution for one in steps if isinstance(one.distribution, Distribution)]
    tables = {(one.scaled.data_ptr(), one.probabilities.data_ptr()) for one in found}
    assert len(found) == 4
    assert len(tables) == 1
    for step, one in zip(steps, found, strict=True):
        assert step.argmax[:3].tolist() == step.reading.tokens[:3].tolist() == known
        assert one.scaled.shape == (29, model.config.vocab_size)
