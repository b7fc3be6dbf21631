"""Whole turns on a tiny random checkpoint: what goes in, what comes out, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
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
    ToolCall,
    ToolDeclaration,
    choice,
    free_text,
    json_schema,
    load_engine,
    regex,
    sequence,
    tools,
)
from oracle import TEMPLATE, Shape, save_checkpoint

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
    assert usage.denoising_steps == 3 * 6  # `save_checkpoint` sets that many
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
    assert either.tool_calls or either.text  # or calls behind a text


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


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A checkpoint whose template has a channel for thoughts."""
    folder = tmp_path_factory.mktemp("thinker")
    save_checkpoint(folder, Shape("thinker", layers="sf", canvas=32))
    template = TEMPLATE.read_text().rstrip().removesuffix("{% endif -%}")
    silence = "{% if not enable_thinking %}<|channel>thought\n<channel|>{% endif %}{% endif %}"
    (folder / "chat_template.jinja").write_text(template + silence)
    return load_engine(folder)


@pytest.mark.parametrize(
    ("request_", "valid"),
    [
        (Request(ASK), lambda result: result.text and not result.tool_calls),
        (Request(ASK, [SAVE], tool_choice="required"), lambda result: result.tool_calls),
        (Request(ASK, [SAVE], tool_choice="auto"), lambda result: result.tool_calls or result.text),
        (Request(ASK, constraint=json_schema(SCHEMA)), lambda result: "total" in result.value),
    ],
    ids=["text", "calls", "either", "a record"],
)
def test_a_turn_that_thinks_has_a_thought_and_then_its_answer(
    thinker: Engine, request_: Request, valid: Callable[[Result], object]
) -> None:
    for seed in range(3):
        request = replace(request_, thinking=True, seed=seed, max_tokens=160)
        result = thinker.generate(request)
        assert result.finish_reason != "length"
        assert valid(result)
        assert "<channel|>" not in result.thought + result.text


def test_a_turn_that_goes_on_behind_a_tools_result_does_not_think_again(thinker: Engine) -> None:
    call = Message("assistant", tool_calls=(ToolCall("read_file", {"path": "a"}),))
    asked = (*ASK, call, Message("tool", "text", name="read_file"))
    request = Request(asked, [READ], tool_choice="read_file", thinking=True, max_tokens=64)
    result = thinker.generate(request)
    assert result.thought == ""
    assert [call.name for call in result.tool_calls] == ["read_file"]


def test_a_turn_makes_no_more_calls_than_the_request_allows(engine: Engine) -> None:
    for seed in range(4):
        request = Request(
            ASK, [READ], tool_choice="required", most_calls=1, seed=seed, max_tokens=128
        )
        assert len(engine.generate(request).tool_calls) == 1


def test_a_model_without_a_channel_for_thoughts_is_not_asked_to_think(engine: Engine) -> None:
    with pytest.raises(RequestError, match="cannot think"):
        engine.generate(Request(ASK, thinking=True))


def test_a_turn_is_held_to_a_sequence(engine: Engine) -> None:
    parts = (choice(["low", "high"]), regex(", because: "), free_text())
    result = engine.generate(Request(ASK, constraint=sequence(*parts), seed=1, max_tokens=60))
    label, because, reason = result.value
    assert label in ("low", "high")
    assert because == ", because: "
    assert result.text == label + because + reason
