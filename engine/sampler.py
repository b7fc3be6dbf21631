"""One canvas from noise to a committed reading: the entropy-bound sampler.

At every step the denoiser's distribution is tempered, the positions of least entropy are accepted
within a bound, and the rest is drawn anew (arXiv 2505.24857; the reference is
`generation_diffusion_gemma.py` in `transformers`). A *guide* may read each step's distribution:
it says what the canvas reads as, and which positions count for stopping. The dynamics follow the
model's own distribution; only tokens that are known stay what they are. (Noise is uniform tokens
here; where it is a mask, `masked.py`.)

All randomness comes from a `Noise`, so a run is repeatable and can be compared, draw by draw,
with another implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from .cache import KVCache
from .config import GenerationConfig
from .kernels import launches_on
from .model import DiffusionGemma
from .work import Work

if TYPE_CHECKING:
    from .kernels.scores import Scores
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

    def gumbels(self, rows: int) -> Tensor:
        """Standard Gumbel numbers [rows, V], float64: the largest of a row's logits and its numbers
        is a draw of the row's distribution. (Less precise ones draw another; arXiv 2409.02908.)"""
        uniforms = torch.rand(
            (rows, self._vocab_size),
            dtype=torch.float64,
            generator=self._generator,
            device=self._device,
        )
        return -(-uniforms.log()).log()


@dataclass(frozen=True)
class Distribution:
    """One step's tempered distribution over a canvas."""

    scaled: Tensor  # [L, V] logits over temperature
    probabilities: Tensor  # [L, V]
    normaliser: Tensor  # [L] log-sum-exp of `scaled`
    entropy: Tensor  # [L] in nats
    best: Tensor  # [L] the most probable token

    def log_probabilities(self) -> Tensor:
        """[L, V]; the whole table, for whoever needs it."""
        return self.scaled - self.normaliser[:, None]

    def gather(self, _: int, tokens: Tensor) -> Tensor:
        """The log-probabilities [L, K] of tokens [L, K]."""
        return self.scaled.gather(1, tokens) - self.normaliser[:, None]

    def logits(self, rows: slice) -> Tensor:
        """Those of some positions, [T, V], up to a number for each."""
        return self.scaled[rows]

    def sure(self, rows: slice, tokens: Tensor) -> Tensor:
        """How probable a token [T] is in each of some positions."""
        scaled = self.scaled[rows].gather(1, tokens[:, None])[:, 0]
        return (scaled - self.normaliser[rows]).exp()

    def renewed(self, accepted: Tensor, uniforms: Tensor, fresh: Tensor) -> Tensor:
        """Tokens drawn at `uniforms` where they are `accepted`, `fresh` ones elsewhere; all [L]."""
        rows = accepted.nonzero()[:, 0]
        fresh[rows] = draw(self.probabilities[rows], uniforms[rows])
        return fresh


def distribution(
    model: DiffusionGemma, states: Tensor, temperature: float
) -> Distribution | Scores:
    """What the model says of positions by their last states [L, D], at a temperature."""
    if launches_on(states.device) and not torch.is_grad_enabled():
        from .kernels.scores import Scores

        return Scores.of(model.outputs(states), model.config.final_logit_softcapping, temperature)
    logits, probabilities = model.tables(len(states))
    return temper(model.logits(states, logits), temperature, probabilities)


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

    def read(self, logp: Tensor | Scores) -> Reading:
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
    distribution: Distribution | Scores  # of the same; the next that is read overwrites it
    reading: Reading
    finished: bool  # by the stopping rule
    last: bool  # of the canvas, finished or not


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
    canvas = torch.cat([pinned, noise.tokens(length)[first:]])
    soft: Tensor | None = None
    history: list[tuple[Tensor, Tensor]] = []
    for number in range(1, config.max_denoising_steps + 1):
        remaining = config.max_denoising_steps - number + 1
        share = remaining / config.max_denoising_steps
        temperature = config.t_min + (config.t_max - config.t_min) * share
        (states,) = yield [model.drafting(canvas, cache, cache.length, soft, first)]
        step = distribution(model, states, temperature)
        accepted = accept(step.entropy, config.sampler_config.entropy_bound)
        uniforms, fresh = noise.uniforms(length)[first:], noise.tokens(length)[first:]
        canvas = torch.cat([pinned, step.renewed(accepted, uniforms, fresh)])
        soft = torch.cat([model.embed(pinned), model.soften(step.probabilities)])

        argmax = torch.cat([pinned, step.best])
        reading = Reading(argmax, length)
        if guide:
            behind = guide.read(step.log_probabilities())
            reading = Reading(torch.cat([pinned, behind.tokens]), first + behind.length)
        signs = [_same(reading, argmax, *earlier) for earlier in history]
        remembered = len(history) == config.stability_threshold
        history = [*history, (reading.tokens, argmax)][-config.stability_threshold :]
        if config.stability_threshold == 0:
            history = []
        signs.append(step.entropy[: reading.length - first].mean() < config.confidence_threshold)
        # the one thing of a step that the host must know, and waits for
        finished = remembered and bool(torch.stack(signs).all())
        last = finished or number == config.max_denoising_steps
        yield Step(number, canvas, argmax, accepted, step, reading, finished, last)
        if finished:
            return
        # [L, V] in float32, of every row of a batch: not to be kept while the model runs
        del step, states


def _same(reading: Reading, argmax: Tensor, tokens: Tensor, earlier_argmax: Tensor) -> Tensor:
    """Whether reading and argmax agree with an earlier step's over the reading's positions."""
    own = slice(reading.length)
    return ((reading.tokens[own] == tokens[own]) & (argmax[own] == earlier_argmax[own])).all()
