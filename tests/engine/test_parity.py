"""Our model and sampler beside the reference's, on random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gesso.engine.checkpoint import load_weights
from gesso.engine.config import read_config, read_generation_config
from gesso.engine.model import DiffusionGemma
from gesso.engine.sampler import Noise, denoise
from gesso.engine.work import alone
from oracle import SHAPES, VOCABULARY, Shape, save_checkpoint
from torch import Tensor

TOLERANCE = 1e-4
Pair = tuple[Any, DiffusionGemma, Path]


@pytest.fixture(params=SHAPES, ids=lambda shape: shape.name)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """The reference, ours, and their folder."""
    shape: Shape = request.param
    reference = save_checkpoint(tmp_path, shape)
    ours = load_weights(tmp_path, read_config(tmp_path / "config.json"), torch.float32)
    with torch.inference_mode():
        yield reference, ours, tmp_path


def close(ours: Tensor, reference: Tensor) -> bool:
    return ours.shape == reference.shape and bool((ours - reference).abs().max() < TOLERANCE)


def test_encoder_states_and_cache_agree(pair: Pair) -> None:
    reference, ours, _ = pair
    tokens = torch.randint(VOCABULARY, (2, 21))
    expected = reference.model.encoder(input_ids=tokens)
    cache = ours.new_cache()
    assert close(ours.encode(tokens, cache), expected.last_hidden_state)
    for index, layer in enumerate(ours.stack):
        keys, values = cache.prefix(index)
        kept = expected.past_key_values.layers[index]
        seen = kept.keys.shape[2]  # a sliding layer of the reference keeps its window only
        assert seen == (min(21, ours.config.sliding_window - 1) if layer.self_attn.sliding else 21)
        assert close(keys[:, :, -seen:], kept.keys)
        assert close(values[:, :, -seen:], kept.values)


def test_denoiser_logits_agree_over_three_canvases(pair: Pair) -> None:
    reference, ours, folder = pair
    length = read_config(folder / "config.json").canvas_length
    tokens, start = torch.randint(VOCABULARY, (1, 21)), 0
    cache, past = ours.new_cache(), None
    for _ in range(3):
        positions = torch.arange(start, start + tokens.shape[1])[None]
        encoded = reference.model.encoder(
            input_ids=tokens, past_key_values=past, position_ids=positions
        )
        past = encoded.past_key_values
        assert close(ours.encode(tokens, cache), encoded.last_hidden_state)
        start += tokens.shape[1]

        canvas = torch.randint(VOCABULARY, (1, length))
        first = reference(decoder_input_ids=canvas, past_key_values=past).logits
        ours_first = ours.denoise(canvas, cache)
        assert close(ours_first, first)
        second = reference(
            decoder_input_ids=canvas, past_key_values=past, self_conditioning_logits=first
        ).logits
        soft = ours.soften(ours_first.softmax(-1))
        assert close(ours.denoise(canvas, cache, soft), second)
        tokens = canvas


def test_a_padded_batch_reads_each_row_as_if_alone(pair: Pair) -> None:
    _, ours, folder = pair
    length = read_config(folder / "config.json").canvas_length
    lengths = torch.tensor([21, 13])
    tokens, canvas = torch.randint(VOCABULARY, (2, 21)), torch.randint(VOCABULARY, (2, length))
    cache = ours.new_cache()
    ours.encode(tokens, cache)
    together = ours.denoise(canvas, cache, None, lengths)
    for row, kept in enumerate(lengths.tolist()):
        alone = ours.new_cache()
        ours.encode(tokens[row : row + 1, :kept], alone)
        assert close(ours.denoise(canvas[row : row + 1], alone), together[row : row + 1])


class SharedDraws(Noise):
    """The same random numbers for both samplers, each in the order that the algorithm draws."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def tokens(self, length: int) -> Tensor:
        return torch.randint(VOCABULARY, (length,), generator=self._generator)

    def uniforms(self, length: int) -> Tensor:
        return torch.rand(length, generator=self._generator)


class TorchWithSharedDraws:
    """`torch` as the reference's sampler sees it, with the shared numbers in place of its own."""

    def __init__(self, shared: SharedDraws) -> None:
        self._shared = shared

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def randint(self, low: int, high: int, size: tuple[int, ...], device: Any) -> Tensor:
        return self._shared.tokens(size[-1])[None]

    def multinomial(self, probabilities: Tensor, num_samples: int) -> Tensor:
        """The cumulative distribution, inverted."""
        uniforms = self._shared.uniforms(len(probabilities))
        return (probabilities.cumsum(-1) > uniforms[:, None]).int().argmax(-1, keepdim=True)


class Recorder:
    """Keeps the reference's argmax canvas of every step and what it commits."""

    def __init__(self) -> None:
        self.drafts: list[Tensor] = []

    def put(self, value: Tensor) -> None:
        """Committed tokens come back as the result's `sequences`."""

    def put_draft(self, value: Tensor) -> None:
        self.drafts.append(value[0])

    def end(self) -> None:
        """Nothing is buffered."""


def test_the_same_draws_give_the_same_canvas_at_every_step(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, ours, folder = pair
    config = read_config(folder / "config.json")
    generation = read_generation_config(folder / "generation_config.json")
    prompt = torch.randint(VOCABULARY, (1, 17))

    from transformers.models.diffusion_gemma import generation_diffusion_gemma as module

    monkeypatch.setattr(module, "torch", TorchWithSharedDraws(SharedDraws(3)))
    recorder = Recorder()
    canvases = 3
    expected = reference.generate(
        prompt,
        max_new_tokens=canvases * config.canvas_length,
        streamer=recorder,
        eos_token_id=None,
        **generation.model_dump(
            include={"max_denoising_steps", "t_min", "t_max", "confidence_threshold"}
        ),
    )

    draws, cache = SharedDraws(3), ours.new_cache()
    tokens, drafts, committed = prompt, [], [prompt]
    for _ in range(canvases):
        ours.encode(tokens, cache)
        steps = list(alone(ours, denoise(ours, cache, config.canvas_length, generation, draws)))
        drafts += [step.argmax for step in steps]
        tokens = steps[-1].reading.tokens[None]
        committed.append(tokens)
    assert len(drafts) == len(recorder.drafts) >= 2 * canvases
    for step, (ours_draft, draft) in enumerate(zip(drafts, recorder.drafts, strict=True)):
        assert torch.equal(ours_draft, draft), f"step {step}"
    assert torch.equal(torch.cat(committed, dim=1), expected.sequences)
