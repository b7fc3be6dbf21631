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

from .capacity import capacity_of
from .checkpoint import Progress, load_weights, locate
from .config import GenerationConfig, ModelConfig, read_config, read_generation_config
from .course import Course
from .energy import EnergyMeter, meter_for
from .errors import EngineError, RequestError
from .model import DiffusionGemma
from .plan import Plan
from .prefixes import Prefixes, slots_in
from .prompt import ChatTemplate
from .quantized import Kind
from .request import Commit, Draft, Request, Result
from .scheduler import Scheduler, Ticket, Watch
from .tokenizer import Tokenizer
from .turn import Event, Turn

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
    return Engine(name, weights, config, generation, tokenizer, template, meter)


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
    ) -> None:
        self.name = name
        self.model = model
        self.config = config
        self.generation = generation
        self.tokenizer = tokenizer
        self.template = template
        self.course_type = Course
        """How a constrained turn makes use of its constraint; measurements set others."""
        place = model.device.type
        kept = _KEPT_BYTES.get(place, 0)
        self.prefixes = Prefixes(model, slots_in(kept, model))
        """What turns begin with, kept for others."""
        self.scheduler = Scheduler(
            model,
            self._turns,
            meter or EnergyMeter(),
            capacity_of(config, model.device, model.dtype, kept),
            _SIDE_BY_SIDE.get(place, 1),
        )
        """Whose turn it is; how many are written at once may be set at any time."""

    @property
    def device(self) -> str:
        """Where the weights are, as torch names it."""
        return str(self.model.device)

    @property
    def context_length(self) -> int:
        """Prompt and answer together, in tokens: what the model reads, and memory holds."""
        whole = self.config.text_config.max_position_embeddings
        return min(whole, self.scheduler.capacity.longest)

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
            RequestError: the template refuses the request.
        """
        return len(self.tokenizer.encode(self.template.render(request)))

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
        begun = self.prefixes.begin([plan.prompt for plan in plans])
        turns = [
            Turn(self, plan, one.cache, one.cached) for plan, one in zip(plans, begun, strict=True)
        ]
        seconds = time.perf_counter() - began
        for turn in turns:
            turn.charge(seconds / len(turns), denoising=False)
        return turns
