"""A batch that stays open: each turn is what it would be alone, whoever comes or goes meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from gesso.engine import (
    AnswerError,
    Commit,
    Engine,
    EngineError,
    Message,
    OpenBatch,
    Request,
    Result,
    ToolDeclaration,
    choice,
    json_schema,
    load_engine,
    regex,
)
from gesso.engine.energy import Energy, EnergyMeter
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


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, Shape("tiny", layers="sfs", window=6, canvas=16))
    return load_engine(folder)


@pytest.fixture(params=["tiny", "sketch"])
def engine(request: pytest.FixtureRequest, tiny: Engine) -> Engine:
    return load_engine("sketch") if request.param == "sketch" else tiny


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


def ends(batch: OpenBatch) -> Iterator[tuple[int, Result | EngineError]]:
    while len(batch):
        for number, event in batch.step():
            if isinstance(event, Result | EngineError):
                yield number, event


@pytest.mark.parametrize("seed", range(2))
def test_a_turn_is_what_it_would_be_alone_whenever_it_joins(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    requests = [drawn(rng, kind) for kind in range(10)]
    expected = [said(engine.generate(request)) for request in requests]
    batch, asked, found = engine.open_batch(), dict[int, int](), dict[int, Result]()
    waiting = list(range(len(requests)))
    leaving = drawn(rng, 0)
    while waiting or len(batch):
        if waiting and rng.random() < 0.4:
            place = waiting.pop(0)
            asked[batch.join(engine.prepare(requests[place]))] = place
        if rng.random() < 0.2:  # one that comes and goes
            gone = batch.join(engine.prepare(leaving))
            seen = batch.step()
            batch.leave(gone)
        else:
            seen = batch.step()
        for number, event in seen:
            if isinstance(event, Result) and number in asked:
                found[asked[number]] = said(event)
    assert [found[place] for place in range(len(requests))] == expected


def test_a_turn_that_left_says_nothing_more(tiny: Engine) -> None:
    batch = tiny.open_batch()
    ask = Request([Message("user", "?")], seed=1, max_tokens=200)
    gone, kept = (batch.join(tiny.prepare(replace(ask, seed=seed))) for seed in (1, 2))
    batch.step()
    batch.step()
    usage = batch.leave(gone)
    assert usage.prompt_tokens > 0
    assert usage.canvases == 1
    assert usage.prefill_seconds + usage.denoising_seconds > 0
    assert {number for number, _ in ends(batch)} == {kept}


def test_the_engine_is_free_for_others_while_the_batch_is_empty(tiny: Engine) -> None:
    batch = tiny.open_batch()
    ask = Request([Message("user", "?")], constraint=choice(["fine", "not so"]), seed=1)
    number = batch.join(tiny.prepare(ask))
    found: list[str] = []
    other = threading.Thread(target=lambda: found.append(tiny.generate(ask).text))
    other.start()
    other.join(0.2)
    assert not found
    ((ended, result),) = ends(batch)
    assert ended == number
    assert isinstance(result, Result)
    other.join(20)
    assert found == [result.text]
    batch.join(tiny.prepare(ask))
    batch.clear()
    assert tiny.generate(ask).text == result.text


def test_an_answer_that_is_not_valid_ends_with_its_error(tiny: Engine) -> None:
    schema = {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}
    ask = [Message("user", "?")]
    batch = tiny.open_batch()
    wrong = batch.join(
        tiny.prepare(Request(ask, constraint=json_schema(schema), seed=1, max_tokens=32))
    )
    right = batch.join(tiny.prepare(Request(ask, constraint=regex("[0-9]{9}"), seed=1)))
    found = dict(ends(batch))
    assert isinstance(found[wrong], AnswerError)
    assert isinstance(found[right], Result)


def test_what_was_drawn_is_shared_out_and_no_more(
    tiny: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meter(EnergyMeter):
        whole = 0.0

        def stop(self) -> Energy:
            Meter.whole += 1.0
            return Energy(1.0, "measured")

    monkeypatch.setattr(tiny, "_meter", Meter())
    rng = random.Random(3)
    batch = tiny.open_batch()
    for kind in range(5):
        batch.join(tiny.prepare(drawn(rng, kind)))
    usages = [one.usage for _, one in ends(batch) if isinstance(one, Result)]
    assert len(usages) == 5
    assert {usage.energy for usage in usages} == {"measured"}
    shared = sum(usage.joules or 0.0 for usage in usages)
    assert shared == pytest.approx(Meter.whole - 1)  # the last one closes an empty window


def test_commits_come_one_a_canvas(tiny: Engine) -> None:
    batch = tiny.open_batch()
    batch.join(tiny.prepare(Request([Message("user", "?")], seed=3, max_tokens=64)))
    commits, last = [], None
    while len(batch):
        for _, last in batch.step():
            if isinstance(last, Commit):
                commits.append(last)
    assert isinstance(last, Result)
    tokens = [token for commit in commits for token in commit.tokens]
    assert tiny.tokenizer.decode(tokens) == last.text
    assert len(commits) == last.usage.canvases


def test_a_step_that_fails_half_way_leaves_the_engine_usable(
    tiny: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Request([Message("user", "?")], constraint=choice(["fine", "not so"]), seed=1)
    batch = tiny.open_batch()
    batch.join(tiny.prepare(Request(ask.messages, constraint=choice(["certain"]))))
    batch.join(tiny.prepare(ask))

    def broken(*_: object) -> object:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(tiny.model, "drafting", broken)  # when the first one has ended already
        with pytest.raises(RuntimeError):
            list(ends(batch))
    batch.clear()
    assert len(batch) == 0
    expected = tiny.generate(ask)
    batch.join(tiny.prepare(ask))
    ((_, found),) = ends(batch)
    assert isinstance(found, Result)
    assert found.text == expected.text
