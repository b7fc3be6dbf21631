"""The engine: a loaded checkpoint that turns requests into results, canvas after canvas.

One turn, or one batch of turns, at a time; a second caller waits. Everything runs on the calling
thread, except that `stream` bridges the same generator to asyncio from a worker thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import torch

from .batch import written
from .checkpoint import Progress, load_weights, locate
from .config import GenerationConfig, ModelConfig, read_config, read_generation_config
from .content import parts_of
from .course import Course
from .energy import EnergyMeter, meter_for, metered
from .errors import EngineError, RequestError
from .images import Sight
from .model import DiffusionGemma
from .open_batch import OpenBatch
from .plan import Plan
from .prefixes import Prefixes, blocks_in
from .prompt import ChatTemplate
from .quantized import Kind
from .request import Commit, Draft, Image, Request, Result
from .tokenizer import Tokenizer
from .turn import Event, Turn
from .vision import Patches

Watch = Callable[[Draft | Commit], None]
"""Is shown a turn as it comes into focus, on the engine's thread: it should be quick."""

_DIGEST_SAMPLE = 64  # numbers of a tensor that name it, about
_KEPT_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
"""Of prompts that were read, by where the weights are: 8,192 tokens of sketch, 4,700 of the 26B."""


def load_engine(
    model: str | Path = "sketch",
    device: str = "auto",
    dtype: str = "auto",
    *,
    adapter: str | Path | None = None,
    quantize: Kind | None = None,
    load_watts: float | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Load a checkpoint: `"sketch"` (bundled), a folder, or a hub id.

    `device` is `"auto"` (CUDA where there is one), `"cpu"`, `"cuda"`, …; `dtype` is `"auto"`
    (bfloat16 on a GPU, float32 on a CPU), `"float32"`, `"bfloat16"` or `"float16"`. The LoRA
    adapter in the folder `adapter` is merged into the weights. With `quantize` (`"int8"` or
    `"int4"`) weights take a half or a quarter of 16 bits. `load_watts` is what the machine draws
    while it generates, for where its energy cannot be measured. `progress` is told how many tensors
    of how many are read.

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
    weights = load_weights(
        folder,
        config,
        kinds[dtype],
        place,
        adapter=None if adapter is None else Path(adapter),
        quantize=quantize,
        progress=progress,
    )
    name = str(model) if not Path(model).is_dir() else folder.name
    meter = meter_for(place, load_watts)
    sight = None if weights.vision is None else Sight(folder, config)
    return Engine(name, weights, config, generation, tokenizer, template, meter, sight)


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
        meter: EnergyMeter | None = None,
        sight: Sight | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.config = config
        self.generation = generation
        self.tokenizer = tokenizer
        self.template = template
        self.course_type = Course
        """How a constrained turn makes use of its constraint; measurements set others."""
        self._meter = meter or EnergyMeter()
        self._sight = sight
        kept = blocks_in(_KEPT_BYTES.get(model.device.type, 0), model)
        self.prefixes = Prefixes(model, kept)
        """What turns begin with, kept for others."""
        self._turn = threading.Lock()

    @property
    def device(self) -> str:
        """Where the weights are, as torch names it."""
        return str(self.model.device)

    @property
    def sees(self) -> bool:
        """Whether a request may have images."""
        return self._sight is not None

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
            sample = numbers[:: max(1, len(numbers) // _DIGEST_SAMPLE)].to("cpu", torch.float32)
            found.update(f"{name} {tuple(tensor.shape)}".encode() + sample.numpy().tobytes())
        return found.hexdigest()

    def generate(
        self, request: Request, *, constrained: bool = True, watch: Watch | None = None
    ) -> Result:
        """Write one turn; `watch` is shown its drafts and commits as they come. With
        `constrained` off, the prompt is the same but nothing holds the answer to the constraint:
        what measurements compare with; `text` is then the raw answer.

        Raises:
            RequestError: the request contradicts itself, or the template refuses it.
            ContextError: the prompt leaves no room for an answer.
            BudgetError: `max_tokens` is too small for the constraint's shortest text.
            ConstraintError: the tools' schemas cannot be compiled.
            AnswerError: the answer breaks a keyword that only a finished value can be checked
                against (`Constraint.checked`).
        """
        found: Event | None = None
        # To its end: a turn that is left in the middle holds its cache until it is collected.
        for found in self._write(request, constrained=constrained):
            if watch is not None and not isinstance(found, Result):
                watch(found)
        assert isinstance(found, Result), "a turn always ends with its result"
        return found

    def generate_batch(self, requests: Sequence[Request]) -> list[Result | EngineError]:
        """Write a turn for each request, side by side; one that cannot be written has its error in
        its place. The turns are what they would be one at a time."""
        found: dict[int, Result | EngineError] = {}
        plans: dict[int, Plan] = {}
        for number, request in enumerate(requests):
            try:
                plans[number] = Plan.of(self, request)
            except EngineError as error:
                found[number] = error
        numbers = list(plans)
        with self._turn, torch.inference_mode():
            self._meter.start()
            for row, event in written(self.model, self._turns(list(plans.values()))):
                if isinstance(event, Result | EngineError):
                    found[numbers[row]] = event
            energy = self._meter.stop()
        ended = [found[number] for number in numbers]
        found.update(zip(numbers, metered(energy, ended), strict=True))
        return [found[number] for number in range(len(requests))]

    def prepare(self, request: Request) -> Plan:
        """A request made ready for an open batch: all that can be slow or refused before the model
        is needed, on any thread. Raises what `generate` does, but for `AnswerError`."""
        return Plan.of(self, request)

    def open_batch(self) -> OpenBatch:
        """A batch that turns join and leave while others are written. The turns are what they would
        be one at a time."""
        return OpenBatch(self.model, self._turns, self._meter, self._turn)

    def prompt_tokens(self, request: Request) -> int:
        """How many tokens the request's prompt has; nothing is compiled for it.

        Raises:
            RequestError: the template refuses the request, or an image cannot be read.
        """
        return len(self.prompt(request))

    def prompt(self, request: Request) -> list[int]:
        """The request's prompt in tokens; an image is numbers below zero (`images.py`). Raises what
        `prompt_tokens` does."""
        images = _images(request)
        tokens = self.tokenizer.encode(self.template.render(request))
        if self._sight is None and images:
            raise RequestError(f"{self.name} reads no images: it has no vision tower")
        return tokens if self._sight is None else self._sight.placed(tokens, images)

    def patches(self, request: Request) -> dict[int, Patches]:
        """The request's images as the model takes them, by those numbers. Raises `RequestError`
        where one cannot be read."""
        return {} if self._sight is None else self._sight.patches(_images(request))

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
        plan = Plan.of(self, request, constrained=constrained)
        with self._turn, torch.inference_mode():
            ended: list[Result | EngineError] = []
            self._meter.start()
            try:
                for _, found in written(self.model, self._turns([plan])):
                    if isinstance(found, Result | EngineError):
                        ended.append(found)
                    else:
                        yield found
            finally:
                energy = self._meter.stop()
            for found in metered(energy, ended):
                if isinstance(found, EngineError):
                    raise found
                yield found

    def _turns(self, plans: Sequence[Plan]) -> list[Turn]:
        """A turn for each plan, behind the beginning of its prompt that is kept."""
        began = time.perf_counter()
        images = {number: one for plan in plans for number, one in plan.images.items()}
        begun = self.prefixes.begin([plan.prompt for plan in plans], images)
        turns = [
            Turn(self, plan, one.cache, one.cached) for plan, one in zip(plans, begun, strict=True)
        ]
        seconds = time.perf_counter() - began
        for turn in turns:
            turn.charge(seconds / len(turns), denoising=False)
        return turns


def _images(request: Request) -> list[Image]:
    """The request's images, as they follow each other."""
    parts = (part for message in request.messages for part in parts_of(message))
    return [part for part in parts if isinstance(part, Image)]
