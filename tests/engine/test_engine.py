"""Whole turns on a tiny random checkpoint: what goes in, what comes out, what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gesso.engine import (
    AnswerError,
    BudgetError,
    Commit,
    ConstraintError,
    ContextError,
    Draft,
    Engine,
    Message,
    Request,
    RequestError,
    Result,
    ToolDeclaration,
    choice,
    json_schema,
    load_engine,
    regex,
    tools,
)
from oracle import Shape, save_checkpoint

ASK = (Message("user", "Anything."),)
SCHEMA = {
    "type": "object",
    "properties": {"company": {"type": "string", "maxLength": 8}, "total": {"type": "integer"}},
    "required": ["company", "total"],
}
SAVE = ToolDeclaration("save_record", "Save it.", SCHEMA)
READ = ToolDeclaration(
    "read_file",
    "Read it.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, Shape("tiny", layers="sf", canvas=32))
    return load_engine(folder)


def test_the_same_seed_gives_the_same_turn(engine: Engine) -> None:
    request = Request(ASK, seed=11, max_tokens=64)
    first, second = engine.generate(request), engine.generate(request)
    assert first.text == second.text
    assert engine.generate(Request(ASK, seed=12, max_tokens=64)).text != first.text


def test_usage_counts_what_was_done(engine: Engine) -> None:
    request = Request(ASK, constraint=regex("[0-9]{70}"), seed=1, max_tokens=90)
    usage = engine.generate(request).usage
    assert usage.prompt_tokens == len(engine.tokenizer.encode(engine.template.render(request)))
    assert usage.canvases == 3
    assert usage.output_tokens == 70
    assert usage.denoising_steps == 3 * engine.generation.max_denoising_steps
    assert usage.prefill_seconds > 0
    assert usage.denoising_seconds > 0


def test_every_draft_of_a_constrained_turn_is_the_beginning_of_a_valid_text(
    engine: Engine,
) -> None:
    constraint = json_schema(SCHEMA)

    async def watch() -> list[Draft | Commit | Result]:
        request = Request(ASK, constraint=constraint, seed=3, max_tokens=96)
        return [event async for event in engine.stream(request)]

    events = asyncio.run(watch())
    result = events[-1]
    assert isinstance(result, Result)
    assert constraint.accepts(result.text)
    assert result.value == constraint.parse(result.text)
    committed = ""
    for event in events[:-1]:
        if isinstance(event, Commit):
            committed += event.text
        elif isinstance(event, Draft):
            assert constraint.dfa.run((committed + event.text).encode()) >= 0
    assert committed == result.text
    drafts = [event for event in events if isinstance(event, Draft)]
    assert len(drafts) == result.usage.denoising_steps


def test_a_stream_may_be_left_early_and_the_engine_stays_usable(engine: Engine) -> None:
    async def leave() -> None:
        stream = engine.stream(Request(ASK, seed=1, max_tokens=320))
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(leave())
    assert engine.generate(Request(ASK, seed=1, max_tokens=32)).usage.canvases == 1


@pytest.mark.parametrize("seed", range(3))
def test_tool_choice_decides_between_calls_and_text(engine: Engine, seed: int) -> None:
    def turn(tool_choice: str) -> Result:
        return engine.generate(
            Request(ASK, [READ, SAVE], tool_choice=tool_choice, seed=seed, max_tokens=128)
        )

    required = turn("required")
    assert required.finish_reason == "tool_calls"
    assert {call.name for call in required.tool_calls} <= {"read_file", "save_record"}
    named = turn("save_record")
    assert [call.name for call in named.tool_calls] == ["save_record"]
    assert tools([SAVE]).accepts(tools([SAVE]).render(named.tool_calls))
    free = turn("none")
    assert not free.tool_calls
    assert free.text
    either = turn("auto")
    assert bool(either.tool_calls) != bool(either.text)


def test_a_budget_steers_a_word_to_a_shorter_one(engine: Engine) -> None:
    constraint = regex("[0-9]{5,400}")
    for budget in (6, 31, 32, 33, 50):
        result = engine.generate(
            Request(ASK, constraint=constraint, seed=budget, max_tokens=budget)
        )
        assert constraint.accepts(result.text)
        assert result.usage.output_tokens < budget


def test_an_unconstrained_turn_ends_at_its_budget(engine: Engine) -> None:
    result = engine.generate(Request(ASK, seed=2, max_tokens=40))
    assert result.finish_reason == "length" or result.usage.output_tokens < 40
    assert result.usage.output_tokens <= 40


def test_a_request_that_cannot_be_served_says_why(engine: Engine) -> None:
    with pytest.raises(BudgetError, match=r"has 6 tokens, the budget is 5"):
        engine.generate(Request(ASK, constraint=regex("[0-9]{5}"), max_tokens=5))
    with pytest.raises(ContextError, match="reads at most 1024"):
        engine.generate(Request((Message("user", "x" * 1000),)))
    with pytest.raises(RequestError, match="either tools or a constraint"):
        engine.generate(Request(ASK, [SAVE], constraint=choice(["a"])))
    with pytest.raises(RequestError, match="max_tokens must be at least 1"):
        engine.generate(Request(ASK, max_tokens=0))
    with pytest.raises(ConstraintError, match="not a declared tool"):
        engine.generate(Request(ASK, [SAVE], tool_choice="missing"))
    refused = ToolDeclaration("f", "", {"type": "object", "properties": {"a": {"minimum": ""}}})
    with pytest.raises(ConstraintError) as raised:
        engine.generate(Request(ASK, [refused]))
    assert raised.value.pointer == "/0/parameters/properties/a/minimum"
    assert raised.value.keyword == "minimum"


def test_an_answer_that_breaks_what_only_a_value_can_show_is_refused(engine: Engine) -> None:
    schema = {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}
    with pytest.raises(AnswerError, match="non-unique elements") as raised:
        engine.generate(Request(ASK, constraint=json_schema(schema), seed=1, max_tokens=32))
    assert raised.value.usage.denoising_steps > 0


def test_an_unknown_device_or_dtype_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="f"))
    with pytest.raises(RequestError, match="device 'tpu9'"):
        load_engine(tmp_path, device="tpu9")
    with pytest.raises(RequestError, match="dtype 'int3'"):
        load_engine(tmp_path, dtype="int3")


def test_what_is_exported_is_what_there_is() -> None:
    import gesso.engine

    public = {name for name in vars(gesso.engine) if not name.startswith("_")}
    rooms = {name for name in public if type(vars(gesso.engine)[name]).__name__ == "module"}
    assert sorted(gesso.engine.__all__) == sorted(public - rooms)
