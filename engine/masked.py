"""One canvas from masks to a committed reading: LLaDA's low-confidence sampler.

Here noise is a mask. A canvas begins as mask tokens (where `sampler.py` begins with uniform ones);
at every step the model says what stands under them, the tokens that it is surest of are accepted
and stay, and the rest is masked again; how many is fixed beforehand, and when all that counts is
unmasked, the canvas is written. (arXiv 2502.09992, section 2.4; the reference is
`generate.py` of github.com/ML-GSAI/LLaDA.)

Under a constraint a step's draft is the most probable word of the language *through the tokens that
are unmasked*, and what is unmasked next is a token of the draft. So all unmasked tokens lie on one
word at every step, there is always a draft, and the last one is the answer. The order is the
model's own: it is surest of a token of the draft where that is likely by itself, constraint or not.
(Accepting by the marginals under the constraint is reported to be better on 7B masked models, arXiv
2607.07026; neither has been measured here on a trained checkpoint.)
What is certain behind an unmasked beginning is unmasked with it, where the draft spells it alike.

A canvas is a block of `block_length` tokens. As in the reference, masks of the blocks that follow
in `gen_length` tokens stand ahead of it, and it takes an equal share of the `steps`; a longer
answer goes on as if the reference had been called again behind it.

Letters in shapes: T tokens, L positions that are written, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from .canvas import Canvas, Reads
from .config import given
from .constraint.masses import FLOOR
from .course import Course, FreeCourse
from .llada import LLaDA
from .sampler import Noise, chances, permitted
from .work import Work


class MaskedGeneration(BaseModel):
    """`generation_config.json` of a masked model: the arguments of the reference's `generate`,
    under their names.

    LLaDA publishes none of them; without them the call is the one that the reference makes of the
    Instruct model. `steps` are those of `gen_length` tokens.
    """

    model_config = ConfigDict(frozen=True)
    steps: int = Field(default=128, gt=0)
    gen_length: int = Field(default=128, gt=0)
    block_length: int = Field(default=32, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    cfg_scale: float = Field(default=0.0, ge=0)
    remasking: Literal["low_confidence"] = "low_confidence"
    eos_token_id: list[int] = []

    @model_validator(mode="before")
    @classmethod
    def _given(cls, data: Any) -> Any:
        return given(data)

    @model_validator(mode="after")
    def _in_whole_blocks(self) -> Self:
        if self.gen_length % self.block_length:
            raise ValueError(
                f"gen_length {self.gen_length} is no multiple of block_length {self.block_length}"
            )
        if self.steps % self.blocks:
            raise ValueError(f"{self.blocks} blocks cannot share {self.steps} steps equally")
        return self

    @property
    def blocks(self) -> int:
        """Blocks of `gen_length` tokens."""
        return self.gen_length // self.block_length

    @property
    def block_steps(self) -> int:
        """Denoising steps of a block, at most."""
        return self.steps // self.blocks


def transfers(masks: int, steps: int) -> list[int]:
    """How many of so many masks are unmasked at each step, the larger numbers first; steps that
    would unmask none are left out (LLaDA's noise schedule is linear)."""
    share, more = divmod(masks, steps)
    return [share + 1] * more + ([share] * (steps - more) if share else [])


def pinned(logp: Tensor, tokens: Tensor, masked: Tensor) -> Tensor:
    """Weights [L, V] of which the heaviest word is the most probable one, of log-probabilities
    [L, V], where the tokens [L] that are not masked have a probability of one. A word that leaves
    one of these out weighs less than any that does not: it has `FLOOR` in its place, and all else
    is made so small that a whole word weighs more than that."""
    found = logp.clamp(min=FLOOR) / (len(logp) + 1)
    places = (~masked).nonzero()[:, 0]
    found[places] = -torch.inf
    found[places, tokens[places]] = 0.0
    return found


@dataclass(frozen=True, eq=False)
class _Step:
    """A draft [L] and how many of its tokens count, the log-probability of each in its place [L],
    and how probable it is there among those that the constraint lets stand [L]."""

    draft: Tensor
    length: int
    sure: Tensor
    posteriors: Tensor


class Unmasker:
    """Writes one turn's canvases."""

    def __init__(
        self, model: LLaDA, generation: MaskedGeneration, noise: Noise, text: Sequence[int]
    ) -> None:
        """`text` is the prompt and, by and by, the canvases behind it that are full."""
        self._model = model
        self._generation = generation
        self._noise = noise
        self._text = text
        self._prompt_length = len(text)

    def write(self, canvas: Canvas) -> Work[Reads, None]:
        """Unmask a canvas behind its known tokens; there is to see what it reads as after every
        step. It is left as soon as its word, or its text up to an end, is unmasked."""
        course, mask = canvas.course, self._model.config.mask_token_id
        length = min(canvas.length - len(canvas.known), course.tokens_left)
        tokens = torch.full((length,), mask, device=self._model.device)
        posteriors = torch.zeros(length, device=self._model.device)
        own: list[int] = []
        for count in transfers(length, self._generation.block_steps):
            step = self._read(canvas, tokens, (yield from self._predicted(canvas, tokens)))
            draft, masked = step.draft, tokens == mask
            order = step.sure.masked_fill(~masked, -torch.inf).argsort(descending=True)
            chosen = order[: min(count, int(masked.sum()))]
            posteriors[chosen] = step.posteriors[chosen]
            masked[chosen] = False
            certain = _certain(course, draft.tolist(), masked.tolist())
            posteriors[certain] = 1.0
            masked[certain] = False
            tokens = draft.where(~masked, mask)
            shown = torch.where(masked, step.sure.exp().float(), posteriors)
            yield canvas.reads(draft.tolist(), shown.tolist())
            own = _before_end(draft[: step.length].tolist(), course.ends)
            if not masked[: len(own)].any():
                break
        canvas.settle(own, posteriors[: len(own)].tolist())

    def _predicted(self, canvas: Canvas, tokens: Tensor) -> Work[Reads, Tensor]:
        """The model's logits [L, V] at the positions of tokens [L] behind a canvas's known ones, in
        float64 and without the mask's: with `cfg_scale`, turned away from what it would predict if
        the text before `gen_length` were masked too (classifier-free guidance)."""
        model, scale = self._model, self._generation.cfg_scale
        mask = model.config.mask_token_id
        known = torch.tensor([*self._text, *canvas.known], device=model.device)
        begun, end = self._span(canvas)
        ahead = known.new_full((end - len(known) - len(tokens),), mask)
        text = torch.cat([known, tokens, ahead])
        passes = [model.reading(text, end - len(known))]
        if scale:
            blind = text.clone()
            blind[:begun] = mask
            passes.append(model.reading(blind, end - len(known)))
        found = yield passes
        logits, *others = (model.logits(states[: len(tokens)]).double() for states in found)
        for other in others:
            logits = other + (scale + 1) * (logits - other)
        logits[:, mask] = -torch.inf
        return logits

    def _read(self, canvas: Canvas, tokens: Tensor, logits: Tensor) -> _Step:
        """What logits [L, V] say of tokens [L], of which some are masked."""
        logp = logits.log_softmax(-1)
        masked = tokens == self._model.config.mask_token_id
        reading = canvas.course.read(pinned(self._noised(logits, logp), tokens, masked))
        draft = reading.tokens
        among = permitted(logp, canvas.course.allowed(draft.tolist()))
        posteriors = torch.tensor(chances(among, draft), device=logp.device)
        return _Step(draft, reading.length, logp.gather(1, draft[:, None])[:, 0], posteriors)

    def _noised(self, logits: Tensor, logp: Tensor) -> Tensor:
        """Log-probabilities [L, V] of which the largest are a draw at the sampler's temperature."""
        temperature = self._generation.temperature
        if not temperature:
            return logp
        return (logits + temperature * self._noise.gumbels(len(logits))).log_softmax(-1)

    def _span(self, canvas: Canvas) -> tuple[int, int]:
        """Where the `gen_length` tokens that a canvas belongs to begin in the text, and where their
        masks end: they are fewer where the budget is."""
        written = (len(self._text) - self._prompt_length) // canvas.length
        within = written % self._generation.blocks
        left = -(-(len(canvas.known) + canvas.course.tokens_left) // canvas.length)
        blocks = min(self._generation.blocks - within, left)
        start = len(self._text)
        return start - within * canvas.length, start + blocks * canvas.length


def _certain(course: Course | FreeCourse, draft: Sequence[int], masked: Sequence[bool]) -> slice:
    """The places of a draft whose tokens are certain behind those that are unmasked before them."""
    first = sum(takewhile(bool, (not one for one in masked)))
    certain = zip(course.certain_behind(draft[:first]), draft[first:], strict=False)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], certain))
    return slice(first, first + alike)


def _before_end(tokens: Sequence[int], ends: Sequence[int]) -> list[int]:
    """The tokens up to the first one that ends a turn, which is one of them."""
    over = (place + 1 for place, token in enumerate(tokens) if token in ends)
    return list(tokens[: next(over, len(tokens))])
