"""The engine: a loaded checkpoint that turns requests into results, canvas after canvas.

Whoever asks, from whatever thread, is written beside the others (`scheduler.py`), and the turn is
what it would be alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import torch

from .cache import KVCache
from .capacity import capacity_of, masked_capacity_of
from .checkpoint import Progress, load_weights, locate
from .config import GenerationConfig, ModelConfig
from .content import parts_of
from .course import Course
from .energy import EnergyMeter, meter_for
from .errors import EngineError, RequestError
from .family import (
    AnyConfig,
    AnyGeneration,
    AnyModel,
    read_any_config,
    read_any_generation,
    read_tokenizer,
)
from .images import Sight
from .llada import LLaDA, LLaDAConfig
from .masked import MaskedGeneration
from .model import DiffusionGemma
from .plan import Plan
from .prefixes import Beginning, Prefixes, slots_in
from .prompt import ChatTemplate
from .quantized import Kind
from .request import Commit, Draft, Image, Request, Result
from .scheduler import Scheduler, Ticket, Watch
from .tokenizer import Tokenizer
from .turn import Event, Turn
from .vision import Patches

_DIGEST_SAMPLE = 64  # numbers of a tensor that name it, about
_KEPT_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
"""Of prompts that were read, by where the weights are."""
_SIDE_BY_SIDE = {"cpu": 16, "cuda": 64}
"""Turns that are written at once, if nobody says otherwise: more take longer each and all."""


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
    """Load a checkpoint: `"sketch"` (bundled), a folder, or a hub id; its `config.json` says of
    which family it is.

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
    config = read_any_config(folder)
    generation = read_any_generation(folder, config)
    tokenizer = read_tokenizer(folder, config, generation)
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
    sight = None
    if isinstance(weights, DiffusionGemma) and isinstance(config, ModelConfig) and weights.vision:
        sight = Sight(folder, config)
    return Engine(name, weights, config, generation, tokenizer, template, meter, sight)


class Engine:
    """A checkpoint, ready to write turns."""

    def __init__(
        self,
        name: str,
        model: AnyModel,
        config: AnyConfig,
        generation: AnyGeneration,
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
        self._sight = sight
        self.prefixes: Prefixes | None = None
        """What turns begin with, kept for others. A model that looks both ways has nothing to keep:
        what it makes of a prompt depends on the answer."""
        place, dtype = model.device, model.dtype
        match model, config, generation:
            case DiffusionGemma(), ModelConfig(), GenerationConfig():
                kept = _KEPT_BYTES.get(place.type, 0)
                self.prefixes = Prefixes(model, slots_in(kept, model))
                capacity = capacity_of(config, place, dtype, kept)
            case LLaDA(), LLaDAConfig(), MaskedGeneration():
                capacity = masked_capacity_of(config, generation, place, dtype)
            case _:
                raise AssertionError("a model has its own family's settings")
        self.scheduler = Scheduler(
            model,
            self._turns,
            meter or EnergyMeter(),
            capacity,
            _SIDE_BY_SIDE.get(place.type, 1),
        )
        """Whose turn it is; how many are written at once may be set at any time."""

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
        """Prompt and answer together, in tokens: what the model reads, and memory holds."""
        return min(self.config.context_length, self.scheduler.capacity.longest)

    @property
    def canvas_length(self) -> int:
        """Positions that are denoised together, in tokens; a masked model's block."""
        if isinstance(self.generation, MaskedGeneration):
            return self.generation.block_length
        assert isinstance(self.config, ModelConfig)
        return self.config.canvas_length

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
            CapacityError: the device's memory was used up meanwhile.
        """
        return self.submit(Plan.of(self, request, constrained=constrained), watch).result()

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
        tickets = self.scheduler.enter([(plan, None) for plan in plans.values()])
        try:
            for number, ticket in zip(plans, tickets, strict=True):
                try:
                    found[number] = ticket.result()
                except EngineError as error:
                    found[number] = error
        finally:  # of those that were interrupted, none is left
            for ticket in tickets:
                ticket.cancel()
        return [found[number] for number in range(len(requests))]

    def prepare(self, request: Request) -> Plan:
        """A request made ready to be written: all that can be slow or refused before the model is
        needed, on any thread. Raises what `generate` does, but for `AnswerError` and
        `CapacityError`."""
        return Plan.of(self, request)

    def submit(self, plan: Plan, watch: Watch | None = None) -> Ticket:
        """Have a turn written when it is its turn, and do not wait for it."""
        (ticket,) = self.scheduler.enter([(plan, watch)])
        return ticket

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
        queue: asyncio.Queue[Draft | Commit | Future[Result]] = asyncio.Queue()

        def tell(event: Draft | Commit | Future[Result]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(queue.put_nowait, event)

        ticket = self.submit(await asyncio.to_thread(Plan.of, self, request), tell)
        ticket.outcome.add_done_callback(tell)
        try:
            while not isinstance(event := await queue.get(), Future):
                yield event
            yield event.result()
        finally:
            ticket.cancel()

    def _turns(self, plans: Sequence[Plan]) -> list[Turn]:
        """A turn for each plan, behind the beginning of its prompt that is kept."""
        began = time.perf_counter()
        if self.prefixes is None:
            begun = [Beginning(KVCache([]), 0) for _ in plans]
        else:
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
