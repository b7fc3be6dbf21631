"""One turn as it is written: canvas after canvas, until it ends or its budget does.

A turn is work (`work.py`): it asks for passes of the model and does not run them, so that several
are written side by side. It is charged for what it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING

from torch import Tensor

from .cache import KVCache
from .canvas import Canvas, Reads
from .confidence import scalar_confidence
from .config import GenerationConfig, ModelConfig
from .constraint import SchemaConstraint, ToolConstraint
from .errors import AnswerError
from .llada import LLaDA
from .masked import MaskedGeneration, Unmasker
from .model import DiffusionGemma
from .prefixes import outside
from .reader import Choice, read_answer
from .request import Commit, Draft, Result, Usage
from .sampler import Noise, Step, chances, denoise, permitted
from .verifier import Verifier
from .views import BLOCK, MOST_READ, Pass
from .work import Work, go_on, shown

if TYPE_CHECKING:
    from .engine import Engine
    from .plan import Plan

Event = Draft | Commit | Result


class Turn:
    """A plan that is carried out. `asked` are the passes it waits for: none before it began
    (`is_fresh`) and once it is over."""

    def __init__(self, engine: Engine, plan: Plan, cache: KVCache, cached_tokens: int) -> None:
        """`cache` holds the beginning of the prompt, or nothing; `cached_tokens` of it had been
        encoded before."""
        self.asked: list[Pass] = []
        self.is_fresh = True
        self._engine = engine
        self._plan = plan
        self._cache = cache
        self._cached_tokens = cached_tokens
        self._text = list(plan.prompt)  # and the canvases that are full
        self._noise = Noise(plan.seed, engine.config.vocab_size, engine.model.device)
        self._seconds = {False: 0.0, True: 0.0}  # of the encoder's passes and of the denoiser's
        self._canvases = self._steps = self._output_tokens = 0
        self._step = 0  # of this canvas
        self._kept = False
        self._work = self._events()

    @property
    def seconds(self) -> float:
        """What the turn has taken so far."""
        return sum(self._seconds.values())

    @property
    def usage(self) -> Usage:
        """What that was, and for what; of its own tokens, those that are committed."""
        return Usage(
            prompt_tokens=len(self._plan.prompt),
            cached_tokens=self._cached_tokens,
            output_tokens=self._output_tokens,
            canvases=self._canvases,
            denoising_steps=self._steps,
            prefill_seconds=self._seconds[False],
            denoising_seconds=self._seconds[True],
        )

    def give_up(self) -> None:
        """Write this no further."""
        self.asked = []
        self._work.close()

    def charge(self, seconds: float, *, denoising: bool) -> None:
        """Add to what the turn has taken."""
        self._seconds[denoising] += seconds

    def go_on(self, states: list[Tensor]) -> Iterator[Event]:
        """Take the states of the passes that were asked for; yields what there is to see until more
        are asked for or the turn is over.

        Raises:
            AnswerError: the finished answer is not valid.
        """
        denoising = any(one.view.denoises for one in self.asked)
        self.asked = []
        self.is_fresh = False
        while True:
            began = time.perf_counter()
            try:
                found = go_on(self._work, states)
            except StopIteration:
                return
            finally:
                self.charge(time.perf_counter() - began, denoising=denoising)
            if isinstance(found, list):
                self.asked = found
                return
            yield found
            states = []

    def _events(self) -> Work[Event, None]:
        engine, decode = self._engine, self._engine.tokenizer.decode
        course = self._plan.course(engine)
        write = self._writer()
        written: list[int] = []
        posteriors: list[float] = []
        while not course.ended and course.tokens_left:
            yield from self._read_ahead()
            canvas = Canvas(engine.canvas_length, course)
            self._canvases += 1
            self._step = 0
            if not canvas.is_full:
                yield from shown(write(canvas), self._draft)
            committed = self._cut(canvas.known)
            written += committed
            self._output_tokens = len(written)
            posteriors += canvas.posteriors[: len(committed)]
            self._text += canvas.known
            self._keep()
            sure = tuple(canvas.posteriors[: len(committed)])
            yield Commit(self._canvases, committed, decode(committed), sure)
        yield self._result(written, posteriors, course.ended, self.usage)

    def _read_ahead(self) -> Work[Event, None]:
        """Have the encoder, where there is one, read what there is more of than one pass is to
        take: others' canvases are denoised between two passes, and no pass holds all of a long
        prompt."""
        model = self._engine.model
        if isinstance(model, LLaDA):
            return
        while len(self._text) - self._cache.length > MOST_READ:
            part = self._text[self._cache.length :][:MOST_READ]
            part = part[: outside(part, MOST_READ // BLOCK) * BLOCK]
            yield [model.reading(part, self._cache, 1)]
            self._cache.length += len(part)
            self._keep()

    def _keep(self) -> None:
        """Let others begin with what was read of the prompt, and forget what no window shows."""
        prefixes = self._engine.prefixes
        if prefixes is None:
            return
        if not self._kept:
            prefixes.keep(self._plan.prompt, self._cache)
            self._kept = self._cache.length >= len(self._plan.prompt) - 1
        self._cache.trim()

    def _draft(self, reads: Reads) -> Draft:
        self._steps += 1
        self._step += 1
        visible = self._cut(reads.tokens)
        text = self._engine.tokenizer.decode(visible)
        sure = tuple(reads.sure[: len(visible)])
        known = min(reads.known, len(visible))
        return Draft(self._canvases, self._step, visible, text, known, sure)

    def _writer(self) -> Callable[[Canvas], Work[Reads, None]]:
        """What writes a canvas, as the checkpoint's family does."""
        engine, noise = self._engine, self._noise
        match engine.model, engine.config, engine.generation:
            case LLaDA() as model, _, MaskedGeneration() as generation:
                return Unmasker(model, generation, noise, self._text).write
            case (
                DiffusionGemma() as model,
                ModelConfig() as config,
                GenerationConfig() as generation,
            ):
                if config.verify_drafts:
                    window = config.draft_window
                    return Verifier(model, self._cache, noise, window, self._text).write
                return partial(self._sampled, model, generation)
        raise AssertionError("a model has its own family's settings")

    def _sampled(
        self, model: DiffusionGemma, generation: GenerationConfig, canvas: Canvas
    ) -> Work[Reads, None]:
        """Denoise a canvas as the checkpoint's sampler does; there is to see what it reads as after
        every step."""
        cache, noise = self._cache, self._noise
        waiting = self._text[cache.length :]
        yield [model.reading(waiting, cache, 1)]
        cache.length += len(waiting)
        length, known, course = canvas.length, canvas.known, canvas.course
        if answers := canvas.answers():
            choices: list[Choice] = []

            def chosen(choice: Choice) -> Reads:
                choices.append(choice)
                return canvas.reads(choice.word, [choice.share] * len(choice.word))

            pad = generation.pad_token_id
            yield from shown(read_answer(model, cache, length, noise, known, answers, pad), chosen)
            canvas.settle(choices[-1].word, repeat(choices[-1].share))
            return
        settled: list[tuple[list[int], list[float]]] = []

        def read(step: Step) -> Reads:
            tokens = step.reading.tokens[len(known) :]
            sure = step.distribution.sure(slice(len(tokens)), tokens)
            if step.last:
                own = tokens[: step.reading.length - len(known)]
                allowed = course.allowed(own.tolist())
                logits = step.distribution.logits(slice(len(own)))
                settled.append((own.tolist(), chances(permitted(logits, allowed), own)))
            return canvas.reads(tokens.tolist(), sure.tolist())

        yield from shown(denoise(model, cache, length, generation, noise, course, known), read)
        canvas.settle(*settled[0])

    def _cut(self, tokens: Sequence[int]) -> list[int]:
        """The tokens before the first one that ends the turn."""
        ends = self._engine.tokenizer.vocabulary.ends
        over = (position for position, token in enumerate(tokens) if token in ends)
        return list(tokens[: next(over, len(tokens))])

    def _result(
        self, written: list[int], posteriors: list[float], ended: bool, usage: Usage
    ) -> Result:
        tokenizer, plan = self._engine.tokenizer, self._plan
        text, thought = tokenizer.decode(written), ""
        if plan.thought is not None:
            thought, text = plan.thought.split(text)
        answer = plan.answer
        if answer is None or not ended:
            reason = "stop" if ended else "length"
            return Result(text, usage=usage, finish_reason=reason, thought=thought)
        complaint = answer.complaint(text) if answer.checked else None
        if complaint is not None:
            raise AnswerError(f"the answer is not valid: {complaint}", usage)
        parsed = answer.parse(text)
        if isinstance(answer, ToolConstraint):
            before, _ = answer.turns.form.split(text)
            reason = "tool_calls" if parsed else "stop"
            return Result(before, None, parsed, usage, reason, thought)
        confidence = {}
        if isinstance(answer, SchemaConstraint):
            sizes = tokenizer.vocabulary.sizes[written]
            confidence = scalar_confidence(text, sizes, posteriors)
        return Result(text, parsed, (), usage, "stop", thought, confidence)
