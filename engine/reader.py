"""One of a few answers, read off the denoiser in two passes.

Where only a few whole answers are left there is nothing to write, only to choose. The first pass
sees noise, and ranks the answers by their mean-field probability: the mean of a token, because the
sum favours short words. The second sees each of the best in a canvas of its own, side by side in
one batch and conditioned on the first, and asks which one the denoiser would leave as it is.

On `sketch`, ten labels, 120 documents: the first pass alone finds 86 % by the sum and 98 % by the
mean, two passes of the sampler 92 %, the two passes here 100 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .cache import KVCache
from .model import DiffusionGemma
from .sampler import Noise, distribution
from .work import Work

_FINALISTS = 8


@dataclass(frozen=True)
class Choice:
    """The tokens of the best answer, and its share of the probability of all that were weighed."""

    word: Sequence[int]
    share: float


def read_answer(
    model: DiffusionGemma,
    cache: KVCache,
    length: int,
    noise: Noise,
    known: Sequence[int],
    words: Sequence[Sequence[int]],
    pad: int,
) -> Work[Choice, None]:
    """Choose one of the words that can stand behind the known tokens of a canvas: there is to see
    the best one so far, after each of the two passes."""
    first, device = len(known), model.device
    rows = torch.full((len(words), length), pad, device=device)
    for row, word in zip(rows, words, strict=True):
        row[: first + len(word)] = torch.tensor([*known, *word], device=device)
    sizes = torch.tensor([len(word) for word in words], device=device)
    places = torch.arange(length, device=device)[None]
    own = (places >= first) & (places < first + sizes[:, None])

    canvas = noise.tokens(length)
    canvas[:first] = rows[0, :first]
    (states,) = yield [model.drafting(canvas, cache, cache.length)]
    step = distribution(model, states, 1.0)
    logp = step.gather(1, rows.T).T  # [words, L]
    means, best = ((logp * own).sum(1) / sizes).topk(min(_FINALISTS, len(words)))
    yield Choice(words[int(best[0])], float(means.softmax(0)[0]))

    soft = model.soften(step.probabilities)
    del step, states
    found = yield [model.drafting(row, cache, cache.length, soft) for row in rows[best]]
    scores = []
    for row, kept, state in zip(rows[best], own[best], found, strict=True):
        logp = model.logits(state[kept]).log_softmax(-1)
        scores.append(logp.gather(1, row[kept][:, None]).sum())
    share, winner = torch.stack(scores).softmax(0).max(0)
    yield Choice(words[int(best[winner])], float(share))
