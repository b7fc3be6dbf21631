"""The engine: a loaded checkpoint that turns requests into results, canvas after canvas.

One turn at a time; a second caller waits. Everything runs on the calling thread, except that
`stream` bridges the same generator to asyncio from a worker thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from .canvas import Canvas
from .checkpoint import load_weights, locate
from .config import GenerationConfig, ModelConfig, read_config, read_generation_config
from .constraint import (
    Constraint,
    ThoughtForm,
    TokenAutomaton,
    ToolConstraint,
    compile_automaton,
    free_text,
    sequence,
    tools,
)
from .constraint import thought as thought_constraint
from .course import Course, FreeCourse
from .errors import AnswerError, BudgetError, ContextError, RequestError
from .model import DiffusionGemma, KVCache
from .prompt import ChatTemplate
from .reader import read_answer
from .request import Commit, Draft, Request, Result, Usage
from .sampler import Noise, denoise
from .tokenizer import Tokenizer
from .verifier import Verifier

Event = Draft | Commit | Result


def load_engine(model: str | Path = "sketch", device: str = "auto", dtype: str = "auto") -> Engine:
    """Load a checkpoint: `"sketch"` (bundled), a folder, or a hub id.

    `device` is `"auto"` (CUDA where there is one), `"cpu"`, `"cuda"`, …; `dtype` is `"auto"`
    (bfloat16 on a GPU, float32 on a CPU), `"float32"`, `"bfloat16"` or `"float16"`.

    Raises:
        CheckpointError: the folder is missing, incomplete or corrupt.
        RequestError: there is no such device or dtype.
    """
    folder = locate(model)
    try:
        cuda = torch.cuda.is_available()
        place = torch.device(("cuda" if cuda else "cpu") if device == "auto" else device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise RequestError(f"device {device!r} cannot be used here: {reason}") from None
    if dtype == "auto":
        dtype = "float32" if place.type == "cpu" else "bfloat16"
    kinds = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}
    if dtype not in kinds:
        raise RequestError(f"dtype {dtype!r} is not one of auto, {', '.join(kinds)}")
    config = read_config(folder / "config.json")
    generation = read_generation_config(folder / "generation_config.json")
    tokenizer = Tokenizer(
        folder / "tokenizer.json",
        vocab_size=config.text_config.vocab_size,
        ends=tuple(generation.eos_token_id),
        pad=generation.pad_token_id,
    )
    template = ChatTemplate(
        folder / "chat_template.jinja",
        bos_token=tokenizer.bos_token,
        controls=tuple(tokenizer.vocabulary.controls),
    )
    weights = load_weights(folder, config, kinds[dtype]).to(place)
    name = str(model) if not Path(model).is_dir() else folder.name
    return Engine(name, weights, config, generation, tokenizer, template)


class Engine:
    """A checkpoint, ready to write turns."""

    def __init__(
        self,
        name: str,
        model: DiffusionGemma,
        config: ModelConfig,
        generation: GenerationConfig,
        tokenizer: Tokenizer,
        template: ChatTemplate,
    ) -> None:
        self.name = name
        self.model = model
        self.config = config
        self.generation = generation
        self.tokenizer = tokenizer
        self.template = template
        self.course_type = Course
        """How a constrained turn makes use of its constraint; measurements set others."""
        self._turn = threading.Lock()

    @property
    def device(self) -> str:
        """Where the weights are, as torch names it."""
        return str(self.model.device)

    @property
    def context_length(self) -> int:
        """Prompt and answer together, in tokens."""
        return self.config.text_config.max_position_embeddings

    def generate(self, request: Request, *, constrained: bool = True) -> Result:
        """Write one turn. With `constrained` off, the prompt is the same but nothing holds the
        answer to the constraint: what measurements compare with; `text` is then the raw answer.

        Raises:
            RequestError: the request contradicts itself, or the template refuses it.
            ContextError: the prompt leaves no room for an answer.
            BudgetError: `max_tokens` is too small for the constraint's shortest text.
            ConstraintError: the tools' schemas cannot be compiled.
            AnswerError: the answer breaks a keyword that only a finished value can be checked
                against (`Constraint.checked`).
        """
        for event in self._write(request, constrained=constrained):
            if isinstance(event, Result):
                return event
        raise AssertionError("a turn always ends with its result")

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """The same turn as it comes into focus: drafts, commits and, last, the result."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        cancelled = threading.Event()

        def work() -> None:
            try:
                for event in self._write(request):
                    if cancelled.is_set():
                        return
                    loop.call_soon_threadsafe(queue.put_nowait, event)
                loop.call_soon_threadsafe(queue.put_nowait, None)
            except BaseException as error:  # crosses to the waiting task, which raises it
                loop.call_soon_threadsafe(queue.put_nowait, error)

        worker = asyncio.create_task(asyncio.to_thread(work))
        try:
            while (event := await queue.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            cancelled.set()
            await worker

    def _write(self, request: Request, *, constrained: bool = True) -> Iterator[Event]:
        plan = _Plan.of(self, request, constrained=constrained)
        with self._turn, torch.inference_mode():
            yield from self._turn_events(plan)

    def _turn_events(self, plan: _Plan) -> Iterator[Event]:
        clock = _Clock()
        cache = self.model.new_cache()
        noise = Noise(plan.seed, self.config.text_config.vocab_size, self.model.device)
        verifier = Verifier(self.model, cache, noise, self.config.draft_window)
        course = plan.course(self)
        written: list[int] = []
        waiting = plan.prompt  # to be encoded, as soon as a pass needs it
        canvases = steps = 0
        while not course.ended and course.tokens_left:
            canvases += 1
            canvas = Canvas(self.config.canvas_length, course)
            if not canvas.is_full:
                with clock.prefill():
                    verifier.commit(waiting)
                waiting = []
                write = self._verified if self.config.verify_drafts else self._sampled
                for number, reads in enumerate(write(canvas, cache, noise, verifier, clock), 1):
                    steps += 1
                    visible, _ = self._cut(reads)
                    yield Draft(canvases, number, visible, self.tokenizer.decode(visible))
            committed, _ = self._cut(canvas.known)
            written += committed
            waiting = [*waiting, *canvas.known]
            yield Commit(canvases, committed, self.tokenizer.decode(committed))
        usage = Usage(
            prompt_tokens=len(plan.prompt),
            output_tokens=len(written),
            canvases=canvases,
            denoising_steps=steps,
            prefill_seconds=clock.prefill_seconds,
            denoising_seconds=clock.denoising_seconds,
        )
        yield self._result(plan, written, course.ended, usage)

    def _sampled(
        self, canvas: Canvas, cache: KVCache, noise: Noise, _: Verifier, clock: _Clock
    ) -> Iterator[list[int]]:
        """Denoise a canvas as the checkpoint's sampler does; yields what it reads as after every
        step."""
        passes = self._passes(canvas, cache, noise)
        reads: list[int] = []
        while True:
            with clock.denoising():
                found = next(passes, None)
            if found is None:
                break
            reads = found
            yield reads[: len(canvas.known) + canvas.course.tokens_left]
        canvas.settle(reads[len(canvas.known) :])

    def _passes(self, canvas: Canvas, cache: KVCache, noise: Noise) -> Iterator[list[int]]:
        """What a canvas reads as after each of the denoiser's passes."""
        length, known = canvas.length, canvas.known
        if answers := canvas.answers():
            pad = self.generation.pad_token_id
            for word in read_answer(self.model, cache, length, noise, known, answers, pad):
                yield [*known, *word]
            return
        config = self.generation
        for step in denoise(self.model, cache, length, config, noise, canvas.course, known):
            yield step.reading.tokens.tolist()

    def _verified(
        self, canvas: Canvas, cache: KVCache, noise: Noise, verifier: Verifier, clock: _Clock
    ) -> Iterator[list[int]]:
        """Draft and check a canvas until it is full; yields what it reads as after every draft."""
        while True:
            with clock.prefill():
                verifier.read(canvas)
            if canvas.is_full:
                return
            with clock.denoising():
                reads = verifier.draft(canvas)
            yield reads
            with clock.prefill():
                verifier.check(canvas)

    def _cut(self, tokens: Sequence[int]) -> tuple[list[int], bool]:
        """The tokens before the first one that ends the turn, and whether there is one."""
        ends = self.tokenizer.vocabulary.ends
        for position, token in enumerate(tokens):
            if token in ends:
                return list(tokens[:position]), True
        return list(tokens), False

    def _result(self, plan: _Plan, written: list[int], ended: bool, usage: Usage) -> Result:
        text, thought = self.tokenizer.decode(written), ""
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
            shown, _ = answer.turns.form.split(text)
            reason = "tool_calls" if parsed else "stop"
            return Result(shown, None, parsed, usage, reason, thought)
        return Result(text, parsed, (), usage, "stop", thought)


@dataclass(frozen=True)
class _Plan:
    """A request made ready: its prompt in tokens, its budget, and what the answer, and with a
    thought before it the turn, is held to."""

    prompt: list[int]
    max_tokens: int
    seed: int | None
    thought: ThoughtForm | None
    answer: Constraint | None
    turn: Constraint | None
    automaton: TokenAutomaton | None

    @classmethod
    def of(cls, engine: Engine, request: Request, *, constrained: bool) -> _Plan:
        if request.tools and request.constraint is not None:
            raise RequestError("a request has either tools or a constraint, not both")
        if request.max_tokens is not None and request.max_tokens < 1:
            raise RequestError(f"max_tokens must be at least 1, not {request.max_tokens}")
        thought = _thought(engine, request)
        answer = _answer(engine, request) if constrained else None
        turn = _after(thought, answer) if constrained and thought else answer
        prompt = engine.tokenizer.encode(engine.template.render(request))
        room = engine.context_length - len(prompt)
        if room < engine.config.canvas_length:
            raise ContextError(
                f"the prompt has {len(prompt)} tokens; {engine.name} reads at most"
                f" {engine.context_length} with a canvas of {engine.config.canvas_length}:"
                " shorten the document or use a model with a longer context"
            )
        whole_canvases = room // engine.config.canvas_length * engine.config.canvas_length
        budget = min(request.max_tokens or whole_canvases, whole_canvases)
        automaton = None
        if turn is not None:
            automaton = compile_automaton(turn, engine.tokenizer.vocabulary)
            shortest = int(automaton.distance[automaton.start]) + 1
            if shortest > budget:
                raise BudgetError(
                    f"the shortest answer has {shortest} tokens, the budget is {budget}"
                )
        return cls(prompt, budget, request.seed, thought, answer, turn, automaton)

    def course(self, engine: Engine) -> Course | FreeCourse:
        """The turn's way through its constraint's language, if it has one."""
        if self.turn is None or self.automaton is None:
            return FreeCourse(engine.tokenizer.vocabulary.ends, tokens_left=self.max_tokens)
        return engine.course_type(
            self.turn,
            self.automaton,
            engine.tokenizer,
            tokens_left=self.max_tokens,
            score_tail=engine.config.trained_tail,
        )


def _thought(engine: Engine, request: Request) -> ThoughtForm | None:
    """How the turn begins with a thought, if it is to. A turn that goes on behind a tool's result
    had its thought at its beginning."""
    if not request.thinking:
        return None
    form = engine.template.thought
    if form is None:
        raise RequestError(f"{engine.name} cannot think: its template has no channel for thoughts")
    return None if request.messages[-1].role == "tool" else form


def _answer(engine: Engine, request: Request) -> Constraint | None:
    """What the turn is held to behind its thought."""
    if not request.tools:
        return request.constraint
    return tools(
        request.tools,
        choice=request.tool_choice,
        most=request.most_calls,
        form=engine.template.calls,
    )


@lru_cache(maxsize=64)
def _after(thought: ThoughtForm, answer: Constraint | None) -> Constraint:
    """A thought and then the answer; kept, as the constraints of a runtime are the same at every
    turn."""
    return sequence(thought_constraint(thought), answer or free_text())


class _Clock:
    """Seconds spent in each pass."""

    def __init__(self) -> None:
        self.prefill_seconds = 0.0
        self.denoising_seconds = 0.0

    def prefill(self) -> _Stopwatch:
        return _Stopwatch(self, "prefill_seconds")

    def denoising(self) -> _Stopwatch:
        return _Stopwatch(self, "denoising_seconds")


class _Stopwatch:
    def __init__(self, clock: _Clock, name: str) -> None:
        self._clock, self._name = clock, name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: Any) -> None:
        spent = time.perf_counter() - self._began
        setattr(self._clock, self._name, getattr(self._clock, self._name) + spent)
