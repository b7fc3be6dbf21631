"""The engine: a loaded checkpoint that turns requests into results, canvas after canvas.

One turn at a time, or one batch of them; a second caller waits. Everything runs on the calling
thread, except that `stream` bridges the same generator to asyncio from a worker thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from .canvas import Canvas
from .checkpoint import load_weights, locate
from .confidence import confidence_of
from .config import GenerationConfig, ModelConfig, read_config, read_generation_config
from .constraint import SchemaConstraint, ToolConstraint
from .course import Course
from .errors import AnswerError, EngineError, RequestError
from .model import DiffusionGemma, KVCache
from .plan import Plan
from .prefixes import Prefixes
from .prompt import ChatTemplate
from .reader import read_answer
from .request import Commit, Draft, Request, Result
from .sampler import Noise, denoise
from .tokenizer import Tokenizer
from .turn import Turn, denoising, prefilling
from .verifier import Verifier

Event = Draft | Commit | Result

DIGEST_SAMPLE = 64
"""Numbers of a tensor that name it, about."""

PREFIX_TOKENS = 8_192
"""How many tokens of earlier prompts are kept encoded."""


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
        self._prefixes = Prefixes(PREFIX_TOKENS)

    @property
    def device(self) -> str:
        """Where the weights are, as torch names it."""
        return str(self.model.device)

    @property
    def context_length(self) -> int:
        """Prompt and answer together, in tokens."""
        return self.config.text_config.max_position_embeddings

    @cached_property
    def digest(self) -> str:
        """Names the weights by some numbers of every tensor: alike wherever they are loaded with
        the same dtype, and another name for what another training made."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            numbers = tensor.reshape(-1)
            sample = numbers[:: max(1, len(numbers) // DIGEST_SAMPLE)].to("cpu", torch.float32)
            found.update(f"{name} {tuple(tensor.shape)}".encode() + sample.numpy().tobytes())
        return found.hexdigest()

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

    def generate_batch(self, requests: Sequence[Request]) -> list[Result | EngineError]:
        """Write one turn for each request, side by side; each is what it would be alone. One that
        cannot be written is an error in its place, any of those that `generate` raises.

        Drafts that are verified are made in one batch; a checkpoint whose drafts are not writes
        one turn after the other.
        """
        outcomes: list[Result | EngineError | Turn] = []
        for request in requests:
            try:
                outcomes.append(Turn(self, Plan.of(self, request, constrained=True)))
            except EngineError as error:
                outcomes.append(error)
        turns = [turn for turn in outcomes if isinstance(turn, Turn)]
        with self._turn, torch.inference_mode():
            for _ in self._events(turns):
                pass
        return [self._outcome(one) if isinstance(one, Turn) else one for one in outcomes]

    def prompt_tokens(self, request: Request) -> int:
        """How many tokens the prompt of a request has.

        Raises:
            RequestError: the template refuses it.
        """
        return len(self.tokenizer.encode(self.template.render(request)))

    def _write(self, request: Request, *, constrained: bool = True) -> Iterator[Event]:
        turn = Turn(self, Plan.of(self, request, constrained=constrained))
        with self._turn, torch.inference_mode():
            for _, event in self._events([turn]):
                yield event
        yield self._result(turn)

    def _events(self, turns: Sequence[Turn]) -> Iterator[tuple[Turn, Event]]:
        if self.config.verify_drafts:
            yield from self._verified(turns)
        else:
            for turn in turns:
                yield from self._sampled(turn)

    def _verified(self, turns: Sequence[Turn]) -> Iterator[tuple[Turn, Event]]:
        """Write turns by drafts that the encoder checks, all side by side."""
        verifier = Verifier(self.model, turns, self._prefixes, self.config.draft_window)
        going = list(turns)
        while going:
            for turn, reads in verifier.step():
                yield turn, turn.drafted(reads)
            for turn in going:
                if turn.canvas.is_full:
                    verifier.close(turn)
                    yield turn, turn.commit()
            going = [turn for turn in going if not turn.done]
            verifier.keep(going)

    def _sampled(self, turn: Turn) -> Iterator[tuple[Turn, Event]]:
        """Write a turn as the checkpoint's sampler does."""
        cache = self.model.new_cache()
        waiting = turn.plan.prompt  # to be encoded, as soon as a pass needs it
        while not turn.done:
            canvas = turn.canvas
            if not canvas.is_full:
                with prefilling([turn]):
                    self.model.encode(self._tensor(waiting), cache)
                waiting = []
                passes = self._passes(canvas, cache, turn.noise)
                reads, posteriors = [], []
                while True:
                    with denoising([turn]):
                        found = next(passes, None)
                    if found is None:
                        break
                    reads, posteriors = found
                    yield turn, turn.drafted(reads)
                canvas.settle(reads[len(canvas.known) :], posteriors)
            waiting = [*waiting, *canvas.known]
            yield turn, turn.commit()

    def _passes(
        self, canvas: Canvas, cache: KVCache, noise: Noise
    ) -> Iterator[tuple[list[int], list[float]]]:
        """What a canvas reads as after each of the denoiser's passes, and how sure the tokens
        behind the known ones are."""
        length, known = canvas.length, canvas.known
        if answers := canvas.answers():
            pad = self.generation.pad_token_id
            for word, share in read_answer(self.model, cache, length, noise, known, answers, pad):
                yield [*known, *word], [share] * len(word)
            return
        config = self.generation
        for step in denoise(self.model, cache, length, config, noise, canvas.course, known):
            behind = step.posteriors[len(known) :].tolist()
            yield step.reading.tokens.tolist(), behind

    def _tensor(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor([tokens], device=self.model.device)

    def _outcome(self, turn: Turn) -> Result | EngineError:
        try:
            return self._result(turn)
        except EngineError as error:
            return error

    def _result(self, turn: Turn) -> Result:
        plan, usage = turn.plan, turn.usage()
        text, thought = self.tokenizer.decode(turn.written), ""
        if plan.thought is not None:
            thought, text = plan.thought.split(text)
        answer, ended = plan.answer, turn.course.ended
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
        confidence: Mapping[str, float] = {}
        if isinstance(answer, SchemaConstraint):
            sizes = self.tokenizer.vocabulary.sizes[turn.written].tolist()
            confidence = confidence_of(text, sizes, turn.posteriors)
        return Result(text, parsed, (), usage, "stop", thought, confidence)
