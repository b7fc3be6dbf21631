"""What is certain is not guessed, a few ways on are read: random weights, verified or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from gesso.engine import (
    BudgetError,
    Constraint,
    Engine,
    Message,
    Request,
    ToolDeclaration,
    choice,
    json_schema,
    load_engine,
    regex,
    tools,
)
from gesso.engine.canvas import Canvas
from gesso.engine.constraint import compile_automaton
from gesso.engine.constraint.lookahead import Lookahead
from gesso.engine.course import Course
from oracle import Shape, save_checkpoint

CANVAS = 24
LABELS = [
    f"label {name}"
    for name in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
]
ASK = (Message("user", "Which?"),)


@pytest.fixture(scope="module", params=[False, True], ids=["sampled", "verified"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, Shape("tiny", layers="sf", canvas=CANVAS))
    loaded = load_engine(folder)
    changes = {"verify_drafts": request.param, "draft_window": 7}
    loaded.config = loaded.config.model_copy(update=changes)
    return loaded


def course(engine: Engine, constraint: Constraint, tokens_left: int = 200) -> Course:
    automaton = compile_automaton(constraint, engine.tokenizer.vocabulary)
    return Course(
        constraint, automaton, engine.tokenizer, tokens_left=tokens_left, score_tail=False
    )


def call(**properties: object) -> Constraint:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return tools([ToolDeclaration("save", "Save.", schema)], choice="save")


def test_a_language_of_one_word_takes_no_steps(engine: Engine) -> None:
    for text in ("yes", "a text that is longer than one canvas of this model " * 2):
        result = engine.generate(Request(ASK, constraint=choice([text]), seed=1))
        assert result.text == text
        assert result.usage.denoising_steps == 0
        assert result.usage.output_tokens == len(engine.tokenizer.encode(text))


@pytest.mark.parametrize("seed", range(4))
def test_a_choice_among_ten_takes_two_passes_at_most(engine: Engine, seed: int) -> None:
    result = engine.generate(Request(ASK, constraint=choice(LABELS), seed=seed))
    assert result.text in LABELS
    assert result.usage.denoising_steps <= 2
    again = engine.generate(Request(ASK, constraint=choice(LABELS), seed=seed))
    assert again.text == result.text


def test_a_choice_that_fills_more_than_a_canvas_is_still_one_of_its_words(engine: Engine) -> None:
    words = ["x" * 30 + "y" * 9, "x" * 30 + "z" * 40, "w" * 50]
    for seed in range(3):
        assert engine.generate(Request(ASK, constraint=choice(words), seed=seed)).text in words


def test_what_is_certain_stands_before_the_first_step(engine: Engine) -> None:
    one = course(engine, call(amount={"type": "string"}, date={"type": "string"}))
    canvas = Canvas(CANVAS, one)
    known = engine.tokenizer.decode(canvas.known)
    assert '<|tool_call>call:save{amount:<|"|>'.startswith(known)
    assert len(canvas.known) == CANVAS or known.endswith('<|"|>')


def test_a_token_that_a_longer_one_could_swallow_is_left_to_the_model(engine: Engine) -> None:
    # `company` and `total` are single tokens of this vocabulary
    assert course(engine, regex("compan(y|i)")).certain() == []
    spelled = course(engine, regex("an? compan(y|i)"))
    assert engine.tokenizer.decode(spelled.certain()) == "a"


def test_a_budget_too_small_for_the_usual_spelling_finds_a_shorter_one(engine: Engine) -> None:
    text = "total company"
    fewest = 4  # two words, a space and the end
    result = engine.generate(Request(ASK, constraint=choice([text]), max_tokens=fewest))
    assert result.text == text
    with pytest.raises(BudgetError):
        engine.generate(Request(ASK, constraint=choice([text]), max_tokens=fewest - 1))


@pytest.mark.parametrize("budget", [4, 6, 9, 24, 25, 40])
def test_a_choice_that_does_not_fit_gives_way_to_one_that_does(engine: Engine, budget: int) -> None:
    words = ["no", "yes: " + "q" * 4, "never" + "q" * 18, "q" * 38]
    for seed in range(3):
        request = Request(ASK, constraint=choice(words), seed=seed, max_tokens=budget)
        result = engine.generate(request)
        assert result.text in words
        assert result.usage.output_tokens < budget


def test_a_word_longer_than_a_canvas_carries_its_state_over(engine: Engine) -> None:
    constraint = regex("(ab){40}c[0-9]{3}|(ba){45}")
    for seed in range(3):
        result = engine.generate(Request(ASK, constraint=constraint, seed=seed))
        assert constraint.accepts(result.text)
        assert result.usage.canvases > 1


@pytest.mark.parametrize("seed", range(3))
def test_values_between_certain_texts_are_valid(engine: Engine, seed: int) -> None:
    schema = {
        "type": "object",
        "properties": {
            "level": {"enum": ["low", "lower", "lowest", "é", "è"]},
            "paid": {"type": "boolean"},
            "size": {"enum": [3, 12, 5]},
            "text": {"type": "string", "maxLength": 5},
        },
        "required": ["level", "paid", "size", "text"],
    }
    tool = ToolDeclaration("save", "Save.", schema)
    request = Request(ASK, [tool], tool_choice="save", seed=seed, max_tokens=120)
    assert tools([tool], choice="save").accepts(
        tools([tool]).render(engine.generate(request).tool_calls)
    )
    result = engine.generate(Request(ASK, constraint=json_schema(schema), seed=seed))
    assert json_schema(schema).accepts(result.text)


def test_the_canvas_is_cut_only_where_no_longer_answer_is_left(engine: Engine) -> None:
    words = course(engine, choice(["a", "abcdef"]))
    assert words.longest(50) == 7
    assert words.longest(5) is None
    assert course(engine, regex("a[bc]*")).longest(50) is None


def test_alternatives_end_where_every_text_passes() -> None:
    def ways(constraint: Constraint) -> set[bytes]:
        found = Lookahead(constraint.dfa).alternatives(constraint.dfa.start, 64)
        return {bytes(text) for text in found[0]} if found else set()

    assert ways(choice(["low", "lower", "x"])) == {b"low", b"lower", b"x"}
    assert ways(regex("(low|lower|x)!.*")) == {b"low!", b"lower!", b"x!"}
    assert ways(regex("(a|b)c(d|e)f")) == {b"a", b"b"}
    assert ways(regex("ab(c|d)")) == {b"abc", b"abd"}
    assert ways(regex("abc")) == set()
    assert ways(regex("(a|b)*c")) == set()
    assert ways(regex("[a-z]{3}")) == {bytes([letter]) for letter in range(97, 123)}
