from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cache import KVCache
from .canvas import Canvas, Reads
from .model import DiffusionGemma
from .repeats import Repeats
from .sampler import Noise, Reading, chances, distribution, permitted
from .work import Work

if TYPE_CHECKING:
    from .kernels.scores import Scores

_REPEATED = 20  # tokens of the prompt in a draft, at most
_WORTH = 3  # tokens that a repeated draft must bring for another one to be tried


class Verifier:
    """Writes one turn's canvases. The cache holds what the encoder has read of the turn so far: of
    a canvas that is being written, the tokens that it has checked."""

    def __init__(
        self,
        model: DiffusionGemma,
        cache: KVCache,
        noise: Noise,
        window: int | None,
        text: Sequence[int],
    ) -> None:
        """`text` is the prompt and, by and by, the canvases behind it that are full."""
        self._model = model
        self._cache = cache
        self._noise = noise
        self._window = window
        self._text = text
        self._before = torch.empty(0, device=model.device)  # [1, D] of the last token in the cache
        self._soft: Tensor | None = None  # [T, D] of the last draft's own positions
        self._soft_start = 0
        self._logp: Tensor | Scores = self._before  # [T, V] of the last draft's own positions
        self._reading = Reading(self._before, 0)
        self._repeats = Repeats(text[:])

    def write(self, canvas: Canvas) -> Work[Reads, None]:
        """Draft and check a canvas until it is full; there is to see what it reads as after every
        draft."""
        self._soft = None
        yield from self._read(canvas)
        while not canvas.is_full:
            yield (yield from self._draft(canvas))
            yield from self._check(canvas)
            yield from self._read(canvas)

    def _read(self, canvas: Canvas) -> Work[Reads, None]:
        """Where the constraint leaves a few ways on, take the one that the encoder finds the most
        probable: each is scored as a whole, exactly, all in one pass and without a draft."""
        while not canvas.is_full and (words := canvas.course.alternatives()):
            yield from self._catch_up([*self._text, *canvas.known])
            (states,) = yield [self._model.branching(words, self._cache)]
            branches = states.split([len(word) for word in words])
            scores = [
                self._score(word, torch.cat([self._before, states[:-1]]), canvas.course.ends)
                for word, states in zip(words, branches, strict=True)
            ]
            shares = torch.stack(scores).softmax(0)
            best = int(shares.argmax())
            canvas.settle(words[best], repeat(float(shares[best])))

    def _draft(self, canvas: Canvas) -> Work[Reads, Reads]:
        """One denoising step: what is known stands in the canvas, the rest is noise. Returns what
        the canvas reads as."""
        yield from self._catch_up(self._text)
        first = len(canvas.known)
        length = canvas.length
        if self._window is not None:
            longest = canvas.course.longest(self._window)
            length = min(length, first + (longest or self._window))
        known = torch.tensor(canvas.known, dtype=torch.long, device=self._model.device)
        tokens = self._noise.tokens(canvas.length)[:length]
        tokens[:first] = known
        soft = self._conditioning(known, length)
        start = len(self._text)
        (states,) = yield [self._model.drafting(tokens, self._cache, start, soft, first)]
        step = distribution(self._model, states, 1.0)
        self._soft, self._soft_start = self._model.soften(step.probabilities), first
        self._logp = step.log_probabilities()
        self._reading = canvas.course.read(self._logp)
        tokens = self._reading.tokens
        sure = self._logp[: len(tokens)].gather(1, tokens[:, None])[:, 0].exp()
        return canvas.reads(tokens.tolist(), sure.tolist())

    def _check(self, canvas: Canvas) -> Work[Reads, None]:
        """Settle the draft up to the first token that the encoder would not have written, and
        there the encoder's.

        Where that begins to repeat the prompt, the prompt is the next draft, for as long as it is a
        good one. Else, under a constraint, what the step's distribution says of the positions
        behind the correction is read anew, from the state that the correction led to, and checked
        once more. (Without one the rest of a draft stays what it was: the second pass costs more
        than it saves.)
        """
        yield from self._settle(canvas, _own(self._reading, canvas))
        if repeated := self._repeated(canvas):
            while repeated:
                known = len(canvas.known)
                yield from self._settle(canvas, repeated)
                again = len(canvas.known) - known >= _WORTH
                repeated = self._repeated(canvas) if again else []
            return
        rest = self._logp[len(canvas.known) - self._soft_start :]
        if canvas.course.rereads and len(rest) and not canvas.is_full:
            yield from self._settle(canvas, _own(canvas.course.read(rest), canvas))

    def _repeated(self, canvas: Canvas) -> list[int]:
        """What may stand next on a canvas, as far as it stands in the prompt."""
        if canvas.is_full:
            return []
        room = min(canvas.length - len(canvas.known), _REPEATED)
        return canvas.course.fitting(self._repeats.behind(canvas.known, room))

    def _settle(self, canvas: Canvas, draft: list[int]) -> Work[Reads, None]:
        waiting = [*self._text, *canvas.known][self._cache.length :]
        wanted = len(draft) + (1 if waiting else 0)  # from the last known token on
        (own,) = yield [self._model.reading([*waiting, *draft], self._cache, wanted)]
        if not waiting:
            own = torch.cat([self._before, own])
        logits = permitted(self._model.logits(own[:-1]), canvas.course.allowed(draft))
        chosen = logits.argmax(-1)
        kept = canvas.follow(draft, chosen.tolist(), chances(logits, chosen))
        self._cache.length += len(waiting) + kept
        self._before = own[kept : kept + 1]

    def _catch_up(self, text: Sequence[int]) -> Work[Reads, None]:
        """Have the encoder read a text to its end."""
        waiting = text[self._cache.length :]
        if waiting:
            (self._before,) = yield [self._model.reading(waiting, self._cache, 1)]
            self._cache.length += len(waiting)

    def _conditioning(self, known: Tensor, length: int) -> Tensor | None:
        """The last draft's soft embeddings, cut or filled with zeros to a length, and the known
        tokens' own."""
        if self._soft is None:
            return None
        soft = self._soft.new_zeros(length, self._soft.shape[1])
        shared = self._soft[: length - self._soft_start]
        soft[self._soft_start : self._soft_start + len(shared)] = shared
        soft[: len(known)] = self._model.embed(known)
        return soft

    def _score(self, word: Sequence[int], before: Tensor, ends: Sequence[int]) -> Tensor:
        """The log-probability of a word's tokens; any end token is as good as another."""
        logp = self._model.logits(before).log_softmax(-1)
        logp[:, list(ends)] = logp[:, list(ends)].logsumexp(-1, keepdim=True)
        return logp.gather(1, torch.tensor(word, device=logp.device)[:, None]).sum()


def _own(reading: Reading, canvas: Canvas) -> list[int]:
    """The tokens of a reading that are its word's, as far as the budget goes."""
    return reading.tokens[: min(reading.length, canvas.course.tokens_left)].tolist()
