"""Turns of many owners on one engine: each is what it would be alone, whoever comes or goes; who is
first is first, and everybody gets a share."""

from __future__ import annotations

import gc
import random
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from gesso.engine import (
    AnswerError,
    CapacityError,
    Commit,
    ContextError,
    Engine,
    Message,
    Plan,
    Request,
    Result,
    Ticket,
    ToolDeclaration,
    TurnCancelledError,
    Usage,
    capacity,
    choice,
    json_schema,
    load_engine,
    regex,
    scheduler,
)
from gesso.engine.cache import ROOM, KVCache
from gesso.engine.capacity import Capacity
from gesso.engine.energy import Energy, EnergyMeter, Shares
from gesso.engine.model import DiffusionGemma
from gesso.engine.scheduler import Scheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Shape, save_checkpoint

RECORD = {
    "type": "object",
    "properties": {"kind": {"enum": ["bill", "ticket"]}, "total": {"type": "number"}},
    "required": ["kind", "total"],
}
SAVE = ToolDeclaration("save_record", "Save it.", RECORD)
KINDS: list[Callable[[Request], Request]] = [
    lambda one: one,
    lambda one: replace(one, constraint=regex("[0-9]{3,40}")),
    lambda one: replace(one, constraint=choice(["one", "two", "three hundred"])),
    lambda one: replace(one, constraint=json_schema(RECORD)),
    lambda one: replace(one, tools=[SAVE], tool_choice="required", most_calls=2),
]
ASK = Request([Message("user", "?")], seed=1, max_tokens=64)
ENDLESS = replace(ASK, max_tokens=4000)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, Shape("tiny", layers="sfs", window=6, canvas=16))
    return load_engine(folder)


@pytest.fixture(params=["tiny", "sketch"])
def engine(request: pytest.FixtureRequest, tiny: Engine) -> Engine:
    return load_engine("sketch") if request.param == "sketch" else tiny


@pytest.fixture
def one_at_a_time(tiny: Engine) -> Iterator[Engine]:
    before, tiny.scheduler.side_by_side = tiny.scheduler.side_by_side, 1
    yield tiny
    tiny.scheduler.side_by_side = before


def drawn(rng: random.Random, kind: int) -> Request:
    asked = " ".join(
        rng.choices(["TOTAL", "4.50", "CASH", "Norwich", "loaf"], k=rng.randint(1, 30))
    )
    request = Request(
        [Message("user", asked)], seed=rng.randint(0, 99), max_tokens=rng.randint(60, 90)
    )
    return KINDS[kind % len(KINDS)](request)


def said(found: Result) -> Result:
    """What must not depend on neighbours: all but seconds, energy and what was cached."""
    usage = replace(
        found.usage,
        cached_tokens=0,
        prefill_seconds=0,
        denoising_seconds=0,
        joules=None,
        energy="unknown",
    )
    return replace(found, usage=usage)


def asked(engine: Engine, request: Request, seen: list[Any] | None = None) -> Ticket:
    return engine.submit(engine.prepare(request), None if seen is None else seen.append)


def begun(engine: Engine, request: Request) -> Ticket:
    """A turn of which something was seen."""
    seen = threading.Event()
    ticket = engine.submit(engine.prepare(request), lambda _: seen.set())
    assert seen.wait(20)
    return ticket


@pytest.mark.parametrize("seed", range(2))
def test_a_turn_is_what_it_would_be_alone_whoever_comes_or_goes(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    requests = [drawn(rng, kind) for kind in range(10)]
    expected = [said(engine.generate(request)) for request in requests]
    tickets = []
    for request in requests:
        tickets.append(asked(engine, request))
        gone = asked(engine, replace(drawn(rng, 0), priority=rng.choice(["high", "normal", "low"])))
        time.sleep(rng.choice([0, 0.01, 0.03]))
        gone.cancel()
    assert [said(ticket.result()) for ticket in tickets] == expected


def test_a_turn_that_is_given_up_says_nothing_more_and_what_it_took(tiny: Engine) -> None:
    seen, enough = [], threading.Event()

    def watch(event: object) -> None:
        seen.append(event)
        if len(seen) == 3:
            ticket.cancel()
            enough.set()

    ticket = tiny.submit(tiny.prepare(ENDLESS), watch)
    assert enough.wait(20)
    with pytest.raises(TurnCancelledError) as found:
        ticket.result()
    assert len(seen) <= 4  # the step that was being taken
    assert found.value.usage.canvases >= 1
    assert found.value.usage.denoising_steps >= 3
    assert found.value.usage.prefill_seconds + found.value.usage.denoising_seconds > 0


def test_a_turn_that_is_given_up_before_it_begins_took_nothing(one_at_a_time: Engine) -> None:
    first = begun(one_at_a_time, ENDLESS)
    second = asked(one_at_a_time, ASK)
    second.cancel()
    with pytest.raises(TurnCancelledError) as found:
        second.result()
    assert found.value.usage == Usage()
    first.cancel()


def test_whoever_is_interrupted_gives_the_turn_up(tiny: Engine) -> None:
    main = threading.get_ident()
    seen: list[object] = []

    def watch(event: object) -> None:
        seen.append(event)
        if len(seen) == 2:
            signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tiny.generate(ENDLESS, watch=watch)
    count = len(seen)
    assert tiny.generate(ASK).usage.output_tokens > 0
    assert len(seen) == count


def test_whoever_looks_on_and_breaks_ends_that_turn_alone(tiny: Engine) -> None:
    def watch(event: object) -> None:
        raise ValueError("not mine")

    broken = tiny.submit(tiny.prepare(ASK), watch)
    other = asked(tiny, replace(ASK, seed=2))
    with pytest.raises(ValueError, match="not mine"):
        broken.result()
    assert said(other.result()) == said(tiny.generate(replace(ASK, seed=2)))


def test_a_higher_priority_goes_first_and_a_lower_one_pauses_for_it(one_at_a_time: Engine) -> None:
    long = replace(ASK, max_tokens=480, priority="low", seed=3)
    expected = said(one_at_a_time.generate(long))
    ended: list[str] = []

    def ask(name: str, request: Request) -> Ticket:
        ticket = asked(one_at_a_time, request)
        ticket.outcome.add_done_callback(lambda _: ended.append(name))
        return ticket

    first = begun(one_at_a_time, long)
    first.outcome.add_done_callback(lambda _: ended.append("low"))
    others = [
        ask("normal", ASK),
        ask("low too", replace(ASK, priority="low")),
        ask("high", replace(ASK, priority="high")),
    ]
    wait([ticket.outcome for ticket in others])
    # "normal" may have begun before "high" came
    assert sorted(ended[:2]) == ["high", "normal"]
    assert ended[2:] == ["low", "low too"]
    assert said(first.result()) == expected


def test_one_who_asks_for_much_does_not_keep_another_waiting(one_at_a_time: Engine) -> None:
    ended: list[str] = []

    def ask(owner: str) -> Ticket:
        ticket = asked(one_at_a_time, replace(ASK, owner=owner))
        ticket.outcome.add_done_callback(lambda _: ended.append(owner))
        return ticket

    first = begun(one_at_a_time, ENDLESS)
    tickets = [ask(owner) for owner in ["much"] * 8 + ["little"] * 3]
    first.cancel()
    wait([ticket.outcome for ticket in tickets])
    assert ended[:6].count("little") == 3
    assert len(ended) == 11


def test_an_answer_that_is_not_valid_ends_with_its_error(tiny: Engine) -> None:
    schema = {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}
    wrong = asked(tiny, replace(ASK, constraint=json_schema(schema), max_tokens=32))
    right = asked(tiny, replace(ASK, constraint=regex("[0-9]{9}")))
    with pytest.raises(AnswerError) as found:
        wrong.result()
    assert found.value.usage.output_tokens > 0
    assert right.result().text.isdigit()


def test_commits_come_one_a_canvas(tiny: Engine) -> None:
    seen: list[Any] = []
    result = asked(tiny, replace(ASK, seed=3), seen).result()
    commits = [event for event in seen if isinstance(event, Commit)]
    tokens = [token for commit in commits for token in commit.tokens]
    assert tiny.tokenizer.decode(tokens) == result.text
    assert len(commits) == result.usage.canvases


def test_a_model_that_breaks_ends_what_was_written_and_nothing_else(
    tiny: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tiny.generate(ASK)
    with monkeypatch.context() as patch:
        patch.setattr(tiny.model, "drafting", raising(RuntimeError("a bug")))
        for ticket in [asked(tiny, ASK), asked(tiny, ASK)]:
            with pytest.raises(RuntimeError, match="a bug"):
                ticket.result()
    with monkeypatch.context() as patch:
        patch.setattr(tiny.model, "run", raising(RuntimeError("another")))
        for ticket in [asked(tiny, ASK), asked(tiny, ASK)]:
            with pytest.raises(RuntimeError, match="another"):
                ticket.result()
    assert said(tiny.generate(ASK)) == said(expected)


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_where_memory_runs_out_the_last_one_ends_and_the_others_are_what_they_were(
    tiny: Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    requests = [replace(ASK, seed=seed) for seed in range(4)]
    expected = [said(tiny.generate(request)) for request in requests]
    run, most = tiny.model.run, 2

    def limited(passes: Sequence[Any]) -> Any:
        if len(passes) > most:
            raise error
        return run(passes)

    monkeypatch.setattr(tiny.model, "run", limited)
    plans = [(tiny.prepare(request), None) for request in requests]
    tickets = tiny.scheduler.enter(plans)
    for ticket in tickets[2:]:
        with pytest.raises(CapacityError, match="memory is used up"):
            ticket.result()
    assert [said(ticket.result()) for ticket in tickets[:2]] == expected[:2]
    most = 0
    with pytest.raises(CapacityError):
        tiny.generate(requests[2])
    most = 9
    assert said(tiny.generate(requests[2])) == expected[2]


def test_what_can_never_fit_in_memory_is_refused_at_once(tiny: Engine) -> None:
    capacity = tiny.scheduler.capacity
    tiny.scheduler.capacity = replace(capacity, total=capacity.of(512))
    try:
        assert tiny.context_length == 512
        with pytest.raises(ContextError, match="512 in the memory that is free"):
            tiny.prepare(replace(ASK, messages=[Message("user", "word " * 100)]))
        assert tiny.prepare(replace(ASK, max_tokens=None)).max_tokens < 512
        assert tiny.generate(ASK).usage.output_tokens > 0
    finally:
        tiny.scheduler.capacity = capacity


def test_turns_wait_for_memory_and_nobody_overtakes_the_next_in_line(tiny: Engine) -> None:
    capacity = tiny.scheduler.capacity
    tiny.scheduler.capacity = replace(capacity, total=capacity.of(1024))
    ended: list[int] = []
    try:
        first = begun(tiny, replace(ENDLESS, max_tokens=700))
        large = asked(tiny, replace(ASK, max_tokens=700, constraint=regex("[0-9]{9}")))
        small = asked(tiny, ASK)
        for number, ticket in enumerate([large, small]):
            ticket.outcome.add_done_callback(lambda _, number=number: ended.append(number))
        time.sleep(0.2)
        assert large.turn is None
        assert small.turn is None
        first.cancel()
        wait([large.outcome, small.outcome])
        assert len(ended) == 2
    finally:
        tiny.scheduler.capacity = capacity


@pytest.mark.parametrize("layers", ["sfs", "ss", "ff"])
def test_a_turn_holds_no_more_than_what_is_planned_for_it(
    layers: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp(layers)
    save_checkpoint(folder, Shape("tiny", layers=layers, window=40, canvas=16))
    engine = load_engine(folder)
    caches: list[KVCache] = []
    assert isinstance(engine.model, DiffusionGemma)
    new = engine.model.new_cache

    def counted() -> KVCache:
        caches.append(new())
        return caches[-1]

    monkeypatch.setattr(engine.model, "new_cache", counted)
    capacity = engine.scheduler.capacity
    prompt = engine.prepare(replace(ASK, messages=[Message("user", "word " * 100)]))
    most = 0

    def look(_: object) -> None:
        nonlocal most
        kept = [one for one in caches[-1]._layers if one is not None]
        held = sum(part.nbytes for one in kept for part in (one.keys, one.values))
        most = max(most, held)

    engine.submit(prompt, look).result()
    assert 0 < most <= capacity.of(len(prompt.prompt) + prompt.max_tokens)


@given(
    st.integers(0, 10**7),
    st.integers(1, 5000),
    st.integers(0, 500),
    st.integers(1, 9).map(ROOM.__mul__),
)
def test_the_longest_turn_fits_and_one_that_is_longer_does_not(
    total: int, sliding: int, full: int, held: int
) -> None:
    capacity = Capacity(total, sliding, full, held)
    if not full and capacity.of(held) <= total:
        assert capacity.longest > 10**9
        return
    assert capacity.of(capacity.longest) <= total
    assert capacity.of(capacity.longest + ROOM) > total


def test_what_is_free_is_what_the_machine_and_its_control_group_can_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    monkeypatch.setattr(capacity, "_MEMINFO", meminfo)
    monkeypatch.setattr(capacity, "_CGROUP", tmp_path)
    cpu = torch.device("cpu")
    assert capacity.free_bytes(cpu) == 1 << 62
    meminfo.write_text("MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:  7000 kB\n")
    assert capacity.free_bytes(cpu) == 7000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert capacity.free_bytes(cpu) == 7000 * 1024
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("4500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\nactive_file 300000\ninactive_file 100000\n")
    assert capacity.free_bytes(cpu) == 900_000


def test_what_was_drawn_is_shared_out_and_no_more(tiny: Engine) -> None:
    class Meter(EnergyMeter):
        whole = 0.0

        def stop(self) -> Energy:
            Meter.whole += 1.0
            return Energy(1.0, "measured")

    own = Scheduler(
        tiny.model, tiny._turns, Meter(), tiny.scheduler.capacity, tiny.scheduler.side_by_side
    )
    rng = random.Random(3)
    tickets = own.enter([(tiny.prepare(drawn(rng, kind)), None) for kind in range(5)])
    usages = [ticket.result().usage for ticket in tickets]
    assert {usage.energy for usage in usages} == {"measured"}
    shared = sum(usage.joules or 0.0 for usage in usages)
    assert shared == pytest.approx(Meter.whole - 1)  # the last one closes an empty window


def test_a_turn_draws_by_its_seconds_while_it_is_written() -> None:
    @dataclass(eq=False)
    class Charged:
        seconds: float = 0.0
        usage: Usage = field(default_factory=Usage)

    class Meter(EnergyMeter):
        def stop(self) -> Energy:
            return Energy(100.0, "measured")

    shares, turns = Shares(Meter()), [cast(Any, Charged()) for _ in range(3)]
    one, two, three = turns
    shares.begin()
    shares.join(one)
    shares.join(two)
    one.seconds, two.seconds = 3.0, 1.0
    assert shares.leave(one).joules == 75.0
    shares.begin()
    shares.join(three)
    two.seconds, three.seconds = 2.0, 1.0
    assert shares.leave(two).joules == 25.0 + 50.0
    assert shares.leave(three).joules == 50.0


def test_an_engine_that_nobody_needs_any_more_is_gone(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("gone")
    save_checkpoint(folder, Shape("tiny", layers="s", window=6, canvas=16))
    monkeypatch.setattr(scheduler, "_IDLE_SECONDS", 0.05)
    engine = load_engine(folder)
    engine.generate(ASK)
    model = weakref.ref(engine.model)
    del engine
    until = time.monotonic() + 20
    while model() is not None and time.monotonic() < until:
        time.sleep(0.05)
        gc.collect()
    assert model() is None


# the scheduler by itself, with turns that only count


@dataclass(eq=False)
class Counted:
    """A turn of so many steps, each of so many tokens."""

    plan: Plan
    steps: int
    is_fresh: bool = True
    asked: list[Any] = field(default_factory=list)
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)

    def go_on(self, states: list[Any]) -> Iterator[Any]:
        self.is_fresh = False
        self.steps -= 1
        self.asked = [self] if self.steps >= 0 else []
        if self.steps < 0:
            yield Result("done")

    def give_up(self) -> None:
        self.asked = []

    def charge(self, seconds: float, *, denoising: bool) -> None:
        self.seconds += seconds

    # a pass as well as a turn
    tokens: Sequence[int] = range(10)

    @property
    def view(self) -> Any:
        return self

    denoises = True


def counting_plan(owner: str, priority: Any, prompt: int, tokens: int) -> Plan:
    return Plan([0] * prompt, {}, tokens, 1, None, None, None, None, owner, priority)


Asked = tuple[str, str, int, int, int, bool]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["high", "normal", "low"]),
            st.integers(1, 300),
            st.integers(1, 600),
            st.integers(0, 6),
            st.booleans(),
        ),
        min_size=1,
        max_size=25,
    ),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_whoever_asks_is_written_once_within_memory_and_places_the_highest_first(
    requests: list[Asked], side_by_side: int, memory: int
) -> None:
    capacity = Capacity(0, 1, 3, 512)
    capacity = replace(capacity, total=capacity.of(1024) * memory)
    seen: list[list[Counted]] = []
    ready = threading.Event()

    class Model:
        device = "cpu"

        def run(self, passes: list[Counted]) -> list[int]:
            seen.append(passes)
            ready.wait()
            return [0] * len(passes)

    def begin(plans: Sequence[Plan]) -> list[Counted]:
        return [Counted(plan, steps[id(plan)]) for plan in plans]

    own = Scheduler(cast(Any, Model()), cast(Any, begin), EnergyMeter(), capacity, side_by_side)
    plans = [counting_plan(*one[:4]) for one in requests]
    steps = {id(plan): one[4] for plan, one in zip(plans, requests, strict=True)}
    tickets = own.enter([(plan, None) for plan in plans])
    for ticket, one in zip(tickets, requests, strict=True):
        if one[5]:
            ticket.cancel()
    ready.set()
    wait([ticket.outcome for ticket in tickets], timeout=30)
    for ticket, one in zip(tickets, requests, strict=True):
        error = ticket.outcome.exception(timeout=0)
        assert isinstance(error, TurnCancelledError) if error else ticket.outcome.result()
        assert one[5] or error is None
    for passes in seen:
        assert len(passes) <= side_by_side
        held = sum(capacity.of(len(one.plan.prompt) + one.plan.max_tokens) for one in passes)
        assert held <= capacity.total or len(passes) == 1
    for earlier, later in pairwise(seen):  # nobody waits for a lower one
        fresh = {one.plan.priority for one in later} - {one.plan.priority for one in earlier}
        if "high" in fresh and len(earlier) == side_by_side and memory > 3:
            assert not any(one.plan.priority == "high" for one in earlier)
    assert own._had == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(1, 3))
def test_owners_who_always_ask_are_served_alike(sizes: list[int], side_by_side: int) -> None:
    """Each owner's turns take another number of steps, and all ask for more than they get: what
    they had differs by no more than what is being written."""
    had: dict[str, int] = {}
    read = 0

    class Model:
        device = "cpu"

        def run(self, passes: list[Counted]) -> list[int]:
            nonlocal read
            read += len(passes)
            if read > 40 * len(sizes):
                had.update(own._had)
                for ticket in tickets:
                    ticket.cancel()
            return [0] * len(passes)

    def begin(plans: Sequence[Plan]) -> list[Counted]:
        return [Counted(plan, sizes[int(plan.owner)]) for plan in plans]

    capacity = Capacity(1 << 40, 1, 1, 512)
    own = Scheduler(cast(Any, Model()), cast(Any, begin), EnergyMeter(), capacity, side_by_side)
    owners = [str(number) for number in range(len(sizes)) for _ in range(200)]
    tickets: list[Ticket] = []
    tickets += own.enter([(counting_plan(owner, "normal", 10, 60), None) for owner in owners])
    wait([ticket.outcome for ticket in tickets], timeout=30)
    most = 10 + 10 * max(sizes)  # of one turn
    assert len(had) == len(sizes)
    assert max(had.values()) - min(had.values()) <= (side_by_side + 1) * most
