"""One canvas from noise to a committed reading: the entropy-bound sampler.

At every step the denoiser's distribution is tempered, the positions of least entropy are accepted
within a bound, and the rest is drawn anew (arXiv 2505.24857; the reference is
`generation_diffusion_gemma.py` in `transformers`). A *guide* may read each step's distribution:
it says what the canvas reads as, and which positions count for stopping. The dynamics follow the
model's own distribution; only tokens that are known stay what they are.

All randomness comes from a `Noise`, so a run is repeatable and can be compared, draw by draw,
with another implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .cache import KVCache
from .config import GenerationConfig
from .model import DiffusionGemma
from .work import Work

_TILE = 1 << 18  # numbers of a table that a CPU has in its cache from one operation to the next


class Noise:
    """A seeded source of the sampler's random numbers."""

    def __init__(self, seed: int | None, vocab_size: int, device: torch.device) -> None:
        self._generator = torch.Generator(device=device)
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
        self._vocab_size = vocab_size
        self._device = device

    def tokens(self, length: int) -> Tensor:
        """Uniform tokens [L] of the whole vocabulary."""
        return torch.randint(
            self._vocab_size, (length,), generator=self._generator, device=self._device
        )

    def uniforms(self, length: int) -> Tensor:
        """Uniform numbers [L] in [0, 1), float32."""
        return torch.rand(length, generator=self._generator, device=self._device)


@dataclass(frozen=True)
class Distribution:
    """One step's tempered distribution over a canvas."""

    scaled: Tensor  # [L, V] logits over temperature
    probabilities: Tensor  # [L, V]
    normaliser: Tensor  # [L] log-sum-exp of `scaled`
    entropy: Tensor  # [L] in nats
    argmax: Tensor  # [L]

    def log_probabilities(self) -> Tensor:
        """[L, V]; the whole table, for whoever needs it."""
        return self.scaled - self.normaliser[:, None]


def temper(logits: Tensor, temperature: float, out: Tensor | None = None) -> Distribution:
    """Read raw logits [L, V] at a temperature; the logits' storage is reused, and that of `out` for
    the probabilities where there is one already."""
    probabilities = torch.empty_like(logits) if out is None else out
    expected = logits.new_empty(len(logits))
    rows = max(1, _TILE // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    parts = (table.split(rows) for table in (logits, probabilities, expected))
    for scaled, shares, mean in zip(*parts, strict=True):
        torch.softmax(scaled.div_(temperature), dim=-1, out=shares)
        torch.sum(shares * scaled, dim=-1, out=mean)
    argmax = logits.argmax(dim=-1)
    own = argmax[:, None]
    normaliser = (logits.gather(1, own) - probabilities.gather(1, own).log())[:, 0]
    return Distribution(logits, probabilities, normaliser, normaliser - expected, argmax)


def accept(entropy: Tensor, bound: float) -> Tensor:
    """Which of [L] positions are accepted: those of least entropy whose joint mutual information
    is bounded by `bound` (arXiv 2505.24857, equation 6)."""
    ascending, order = entropy.sort()
    chosen = ascending.cumsum(0) - ascending <= bound
    return torch.zeros_like(chosen).scatter(0, order, chosen)


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """One token of each row of [N, V], by inverting the cumulative distribution at `uniforms`."""
    cumulative = probabilities.cumsum(dim=-1)
    targets = uniforms[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, targets, right=True)[:, 0]
    return drawn.clamp(max=probabilities.shape[-1] - 1)


def permitted(logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Logits [T, V] of the allowed tokens [T, V] alone; `None` allows them all."""
    return logits if allowed is None else logits.masked_fill(~allowed.to(logits.device), -torch.inf)


def chances(logits: Tensor, tokens: Tensor) -> list[float]:
    """How probable each of the tokens [T] is under logits [T, V]."""
    chosen = logits.gather(1, tokens[:, None])[:, 0]
    return (chosen - logits.logsumexp(-1)).exp().tolist()


class Guide(Protocol):
    """Reads a step's distribution under a constraint."""

    def read(self, logp: Tensor) -> Reading:
        """The canvas as the constraint lets it read, of log-probabilities [L, V]."""
        ...


@dataclass(frozen=True)
class Reading:
    """What a canvas reads as: its tokens [L], and how many of them count (the word's own)."""

    tokens: Tensor
    length: int


@dataclass(frozen=True)
class Step:
    """A canvas after one denoising step."""

    number: int
    canvas: Tensor  # [L] what the next step starts from
    argmax: Tensor  # [L]
    accepted: Tensor  # [L] bool, of the positions behind the known ones
    distribution: Distribution  # of the same; the next step's overwrites it
    reading: Reading
    finished: bool


def denoise(
    model: DiffusionGemma,
    cache: KVCache,
    length: int,
    config: GenerationConfig,
    noise: Noise,
    guide: Guide | None = None,
    known: Sequence[int] = (),
) -> Work[Step, None]:
    """Denoise one canvas behind the cached prefix: there is to see every step, and the last one's
    reading is what there is to commit.

    The canvas begins with the `known` tokens, which stay; the guide reads what comes after them.
    Stops when reading and argmax have been the same for `stability_threshold` steps and the mean
    entropy is under `confidence_threshold`, both over the reading's own positions.
    """
    pinned = torch.tensor(known, dtype=torch.long, device=model.device)
    first = len(pinned)
    canvas = noise.tokens(length)
    soft: Tensor | None = None
    tables: tuple[Tensor | None, Tensor | None] = (None, None)
    history: list[tuple[Tensor, Tensor]] = []
    for number in range(1, config.max_denoising_steps + 1):
        remaining = config.max_denoising_steps - number + 1
        share = remaining / config.max_denoising_steps
        temperature = config.t_min + (config.t_max - config.t_min) * share
        canvas[:first] = pinned
        (states,) = yield [model.drafting(canvas, cache, cache.length, soft, first)]
        step = temper(model.logits(states, tables[0]), temperature, tables[1])
        tables = (step.scaled, step.probabilities)
        accepted = accept(step.entropy, config.sampler_config.entropy_bound)
        uniforms = noise.uniforms(length)[first:]
        rows = accepted.nonzero()[:, 0]
        canvas = noise.tokens(length)
        canvas[first + rows] = draw(step.probabilities[rows], uniforms[rows])
        soft = torch.cat([model.embed(pinned), model.soften(step.probabilities)])

        argmax = torch.cat([pinned, step.argmax])
        reading = Reading(argmax, length)
        if guide:
            behind = guide.read(step.log_probabilities())
            reading = Reading(torch.cat([pinned, behind.tokens]), first + behind.length)
        stable = len(history) == config.stability_threshold and all(
            _same(reading, argmax, *earlier) for earlier in history
        )
        history = [*history, (reading.tokens, argmax)][-config.stability_threshold :]
        if config.stability_threshold == 0:
            history = []
        confident = step.entropy[: reading.length - first].mean() < config.confidence_threshold
        finished = bool(stable and confident)
        yield Step(number, canvas, argmax, accepted, step, reading, finished)
        if finished:
            return


def _same(reading: Reading, argmax: Tensor, tokens: Tensor, earlier_argmax: Tensor) -> bool:
    """Whether reading and argmax agree with an earlier step's over the reading's positions."""
    length = reading.length
    return torch.equal(reading.tokens[:length], tokens[:length]) and torch.equal(
        argmax[:length], earlier_argmax[:length]
    )
