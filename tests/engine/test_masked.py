"""The masked sampler: the reference's tokens, the constraint's words, whole turns of the engine."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gesso.engine import (
    BudgetError,
    CheckpointError,
    Commit,
    Constraint,
    ContextError,
    Draft,
    Engine,
    EngineError,
    Message,
    Request,
    Result,
    TurnCancelledError,
    choice,
    json_schema,
    load_engine,
    regex,
)
from gesso.engine.constraint import compile_automaton
from gesso.engine.course import Course
from gesso.engine.llada import LLaDA
from gesso.engine.masked import pinned, transfers
from gesso.engine.sampler import Noise
from gesso.engine.tokenizer import Tokenizer
from gesso.engine.training.vocabulary import write_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_oracle import (
    LLADA_TEMPLATE,
    MASK,
    MASKED_SHAPES,
    VOCABULARY,
    reference_logits,
    reference_sample,
    save_llada,
)
from test_validity import SCHEMAS, TOOL_SETS, valid_turns
from torch import Tensor
from transformers import LlamaForCausalLM

ASK = (Message("user", "Anything."),)
Pair = tuple[LlamaForCausalLM, Engine]


def pair(folder: Path, seed: int = 0, **generation: Any) -> Pair:
    reference = save_llada(folder, MASKED_SHAPES[seed % 2], seed, **generation)
    return reference, load_engine(folder)


def tokens_of(engine: Engine, request: Request) -> list[int]:
    """The tokens that a turn commits."""
    found: list[int] = []
    engine.generate(
        request, watch=lambda seen: found.extend(seen.tokens if isinstance(seen, Commit) else ())
    )
    return found


def before_end(engine: Engine, answer: Sequence[int]) -> list[int]:
    ends = engine.tokenizer.vocabulary.ends
    over = (place for place, token in enumerate(answer) if token in ends)
    return list(answer[: next(over, len(answer))])


SETTINGS = [
    {"steps": 48, "gen_length": 48, "block_length": 48},
    {"steps": 48, "gen_length": 48, "block_length": 16},
    {"steps": 12, "gen_length": 48, "block_length": 24},
    {"steps": 9, "gen_length": 48, "block_length": 16},
    {"steps": 4, "gen_length": 64, "block_length": 16},
    {"steps": 96, "gen_length": 32, "block_length": 16},
    {"steps": 8, "gen_length": 32, "block_length": 16, "cfg_scale": 1.5},
    {"steps": 16, "gen_length": 32, "block_length": 8, "temperature": 0.7},
]


@pytest.mark.parametrize("generation", SETTINGS, ids=lambda one: "-".join(map(str, one.values())))
@pytest.mark.parametrize("seed", range(2))
@torch.inference_mode()
def test_the_tokens_are_those_of_the_reference(
    tmp_path: Path, generation: dict[str, Any], seed: int
) -> None:
    reference, engine = pair(tmp_path, seed, **generation)
    request = Request(ASK, seed=seed, max_tokens=generation["gen_length"])
    prompt = torch.tensor(engine.tokenizer.encode(engine.template.render(request)))
    generator = torch.Generator().manual_seed(seed)
    answer = reference_sample(
        lambda tokens: reference_logits(reference, tokens),
        prompt,
        mask=MASK,
        uniforms=lambda rows: torch.rand(
            rows, VOCABULARY, dtype=torch.float64, generator=generator
        ),
        **generation,
    )[len(prompt) :]
    assert tokens_of(engine, request) == before_end(engine, answer.tolist())


@torch.inference_mode()
def test_a_longer_answer_is_the_reference_called_again_behind_it(tmp_path: Path) -> None:
    generation = {"steps": 8, "gen_length": 32, "block_length": 16}
    reference, engine = pair(tmp_path, 0, **generation)
    request = Request(ASK, max_tokens=80)
    text = torch.tensor(engine.tokenizer.encode(engine.template.render(request)))
    begun = len(text)
    for length in (32, 32, 16):  # the last one as long as the budget
        steps = generation["steps"] * length // generation["gen_length"]
        text = reference_sample(
            lambda tokens: reference_logits(reference, tokens),
            text,
            mask=MASK,
            steps=steps,
            gen_length=length,
            block_length=16,
        )
    expected = before_end(engine, text[begun:].tolist())
    assert tokens_of(engine, request) == expected
    assert len(expected) > 32


@given(st.integers(0, 200), st.integers(1, 200))
def test_every_mask_is_unmasked_at_one_step(masks: int, steps: int) -> None:
    found = transfers(masks, steps)
    assert sum(found) == masks
    assert len(found) == min(masks, steps)
    assert found == sorted(found, reverse=True)
    assert not found or found[0] - found[-1] <= 1


@given(st.integers(0, 10**6), st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_no_word_that_leaves_a_pinned_token_out_weighs_as_much_as_one_that_does_not(
    seed: int, length: int
) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(length, 9, dtype=torch.float64) * 10.0 ** torch.randint(0, 5, ())
    tokens, masked = torch.randint(9, (length,)), torch.rand(length) < 0.5
    weights = pinned(logits.log_softmax(-1), tokens, masked).clamp(min=-1e4).float()
    worst_through = weights.amin(1).where(masked, weights.new_zeros(length)).sum()
    if not masked.all():
        best_beside = weights.amax(1).where(masked, weights.new_zeros(length)).sum() - 1e4
        assert worst_through > best_beside
    assert torch.equal(weights.argmax(1)[~masked], tokens[~masked])
    assert (weights[~masked].amax(1) == 0).all()


@torch.inference_mode()
def test_gumbel_numbers_draw_by_the_odds() -> None:
    odds = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    noise = Noise(1, 4, torch.device("cpu"))
    drawn = (odds.log() + noise.gumbels(20_000)).argmax(1)
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    assert (shares - odds).abs().max() < 0.015


WORDS = ["ab", "abba", "abbey", "bay", "bead", "beady", "dab", "day", "eye", "yea", "yeabby"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    size = write_tokenizer(file, [])
    return Tokenizer(file, vocab_size=size, ends=(1,), pad=0)


@given(seed=st.integers(0, 10**6), word=st.sampled_from(WORDS), scale=st.floats(0.5, 1000))
@settings(deadline=None, max_examples=60)
def test_a_draft_is_the_best_word_through_what_is_pinned(
    tokenizer: Tokenizer, seed: int, word: str, scale: float
) -> None:
    torch.manual_seed(seed)
    constraint, vocabulary = choice(WORDS), tokenizer.vocabulary
    automaton = compile_automaton(constraint, vocabulary)
    course = Course(constraint, automaton, tokenizer, tokens_left=9, score_tail=True)
    end, pad = vocabulary.ends[0], vocabulary.pad

    def spelled(text: str) -> Tensor:
        """Letter by letter, an end behind them, and padding up to the canvas's."""
        return torch.tensor([*map(tokenizer.encode, text), [end], *[[pad]] * 9][:8]).flatten()

    logits = torch.full((8, len(vocabulary)), -1e9, dtype=torch.float64)
    usable = torch.cat([spelled(one) for one in WORDS]).unique()
    logits[:, usable] = torch.randn(8, len(usable), dtype=torch.float64) * scale
    logp = logits.log_softmax(-1)
    masked = torch.rand(8) < 0.7
    pins = spelled(word)
    through = [one for one in map(spelled, WORDS) if torch.equal(one[~masked], pins[~masked])]

    def weight(tokens: Tensor) -> float:
        return float(logp.gather(1, tokens[:, None])[masked, 0].sum())

    draft = course.read(pinned(logp, pins, masked)).tokens
    assert any(torch.equal(draft, one) for one in through)
    assert weight(draft) == pytest.approx(max(map(weight, through)), rel=1e-5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("llada")
    save_llada(folder, steps=16, gen_length=64, block_length=32)
    return load_engine(folder)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Many blocks, many steps, and a temperature."""
    folder = tmp_path_factory.mktemp("llada")
    save_llada(folder, seed=3, steps=32, gen_length=32, block_length=8, temperature=1.0)
    return load_engine(folder)


@pytest.mark.parametrize("name", [*SCHEMAS, *TOOL_SETS])
def test_every_constrained_turn_is_valid(tiny: Engine, warm: Engine, name: str) -> None:
    assert valid_turns(tiny, name, range(2), constrained=True) == 2
    assert valid_turns(warm, name, range(2, 3), constrained=True) == 1


@pytest.mark.slow
def test_four_hundred_turns_are_valid(
    tiny: Engine, warm: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*SCHEMAS, *TOOL_SETS]
    held = sum(
        valid_turns(engine, name, range(10), constrained=True)
        for engine in (tiny, warm)
        for name in names
    )
    with capsys.disabled():
        print(f"\n{held} of {20 * len(names)} turns of a masked model are valid")
    assert held == 20 * len(names) == 400


def test_without_the_constraint_few_turns_are_valid(tiny: Engine) -> None:
    assert sum(valid_turns(tiny, name, range(1), constrained=False) for name in SCHEMAS) < 3


@pytest.mark.parametrize("constraint", [None, json_schema(SCHEMAS["a list of records"])])
def test_an_unmasked_token_stays_and_every_draft_goes_through_it(
    tiny: Engine, warm: Engine, constraint: Constraint | None
) -> None:
    for engine in (tiny, warm):
        model = engine.model
        assert isinstance(model, LLaDA)
        request = Request(ASK, constraint=constraint, seed=5, max_tokens=60)
        seen: list[Draft | Commit] = []
        read: list[Tensor] = []
        run = model.run

        def kept(passes: Any, run: Any = run, read: list[Tensor] = read) -> list[Tensor]:
            read.extend(one.tokens for one in passes)
            return run(passes)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "run", kept)
            engine.generate(request, watch=seen.append)
        drafts = [one for one in seen if isinstance(one, Draft)]
        assert len(drafts) == len(read)
        committed = [one for one in seen if isinstance(one, Commit)]
        answer = [token for one in committed for token in one.tokens]
        start = engine.prompt_tokens(request)
        for text in read:
            behind = text[start : start + len(answer)].tolist()
            assert all(one in (MASK, said) for one, said in zip(behind, answer, strict=False))
        for draft in drafts:
            before = "".join(one.text for one in committed[: draft.canvas - 1])
            if constraint is not None:
                assert constraint.dfa.run((before + draft.text).encode()) >= 0


CONSTRAINTS: list[Constraint | None] = [
    None,
    regex("[0-9]{3,50}"),
    choice(["one", "two", "three hundred"]),
    choice(["only this"]),
    json_schema(SCHEMAS["an enum"]),
    json_schema(SCHEMAS["a list of records"]),
]


def said(found: Result | EngineError) -> object:
    """What must not depend on neighbours: all but seconds and energy."""
    assert isinstance(found, Result)
    usage = replace(
        found.usage, prefill_seconds=0, denoising_seconds=0, joules=None, energy="unknown"
    )
    return replace(found, usage=usage)


@pytest.mark.parametrize("seed", range(3))
def test_a_turn_does_not_depend_on_its_neighbours(warm: Engine, seed: int) -> None:
    rng = random.Random(seed)
    requests = [
        Request(
            (Message("user", "Norwich 4.50 " * rng.randint(1, 9)),),
            constraint=rng.choice(CONSTRAINTS),
            seed=rng.randint(0, 99),
            max_tokens=rng.randint(60, 90),
        )
        for _ in range(5)
    ]
    expected = [said(warm.generate(request)) for request in requests]
    assert list(map(said, warm.generate_batch(requests))) == expected
    assert list(map(said, warm.generate_batch(requests[::-1]))) == expected[::-1]


def test_a_turn_that_is_given_up_leaves_its_neighbour_as_it_is(warm: Engine) -> None:
    request = Request(ASK, constraint=regex("[0-9]{20}"), seed=1, max_tokens=40)
    expected = said(warm.generate(request))
    endless = warm.submit(warm.prepare(Request(ASK, seed=2)))
    beside = warm.submit(warm.prepare(request))
    assert said(beside.result()) == expected
    endless.cancel()
    with pytest.raises(TurnCancelledError):
        endless.outcome.result()


def test_memory_is_planned_for_all_that_a_step_makes_of_a_text(tiny: Engine) -> None:
    capacity = tiny.scheduler.capacity
    assert capacity.of(300) == 512 * (6 * 32 + 3 * 48) * 4  # a token's floats, in whole rooms
    assert capacity.of(capacity.longest) <= capacity.total
    assert tiny.context_length == 1024


def test_the_same_seed_gives_the_same_turn(warm: Engine) -> None:
    request = Request(ASK, seed=11, max_tokens=32)
    assert warm.generate(request).text == warm.generate(request).text
    assert warm.generate(replace(request, seed=12)).text != warm.generate(request).text


def test_usage_counts_what_was_done(tiny: Engine) -> None:
    request = Request(ASK, constraint=regex("[0-9]{70}"), seed=1, max_tokens=100)
    usage = tiny.generate(request).usage
    assert usage.prompt_tokens == tiny.prompt_tokens(request)
    assert usage.cached_tokens == 0
    assert usage.output_tokens == 70
    assert usage.canvases == 3
    assert 3 <= usage.denoising_steps <= 3 * 8
    assert usage.denoising_seconds > 0


def test_what_is_certain_behind_an_unmasked_beginning_takes_no_step(warm: Engine) -> None:
    steps = tokens = 0
    for seed in range(3):
        request = Request(ASK, constraint=regex("[ab]c{6}[ab]c{6}[ab]c{6}[ab]"), seed=seed)
        usage = warm.generate(request).usage
        steps, tokens = steps + usage.denoising_steps, tokens + usage.output_tokens
    assert steps < 0.8 * tokens  # one token a step, but for those


def test_a_canvas_is_left_when_its_word_is_written(tiny: Engine) -> None:
    short = tiny.generate(Request(ASK, constraint=choice(["a", "b"]), seed=1)).usage
    assert short.denoising_steps < 8


def test_what_cannot_be_written_is_refused_when_it_is_asked_for(tiny: Engine) -> None:
    with pytest.raises(BudgetError):
        tiny.generate(Request(ASK, constraint=regex("[0-9]{40}"), max_tokens=20))
    with pytest.raises(ContextError, match="canvas of 32"):
        tiny.generate(Request((Message("user", "x" * 1100),)))


def test_a_budget_ends_an_answer_inside_a_block(tiny: Engine) -> None:
    result = tiny.generate(Request(ASK, seed=3, max_tokens=41))
    assert result.usage.output_tokens == 41
    assert result.finish_reason == "length"
    held = tiny.generate(Request(ASK, constraint=regex("[0-9]{5,}"), max_tokens=41))
    assert held.finish_reason == "stop"
    assert 5 <= held.usage.output_tokens <= 40


def test_llada_ends_its_turns_with_its_own_token_and_calls_no_tools(tmp_path: Path) -> None:
    save_llada(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    settings_file = tmp_path / "tokenizer_config.json"
    settings_file.write_text(
        json.dumps({"bos_token": "<|startoftext|>", "chat_template": LLADA_TEMPLATE})
    )
    file = tmp_path / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    for entry, name in zip(
        tokenizer["added_tokens"],
        ["<|startoftext|>", "<|endoftext|>", "<|start_header_id|>", "<|end_header_id|>"],
        strict=False,
    ):
        rename(tokenizer, entry, name)
    rename(tokenizer, tokenizer["added_tokens"][5], "<|eot_id|>")
    file.write_text(json.dumps(tokenizer))
    engine = load_engine(tmp_path)
    vocabulary = engine.tokenizer.vocabulary
    assert vocabulary.ends == (
        vocabulary.controls["<|eot_id|>"],
        vocabulary.controls["<|endoftext|>"],
    )
    assert vocabulary.pad == vocabulary.controls["<|endoftext|>"]
    assert engine.template.render(Request(ASK)) == (
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nAnything.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert engine.generate(Request(ASK, constraint=choice(["yes", "no"]), seed=1)).text in "yes no"
    declarations, _ = TOOL_SETS["one tool"]
    with pytest.raises(CheckpointError, match="without tools"):
        engine.generate(Request(ASK, declarations))


def rename(tokenizer: dict[str, Any], entry: dict[str, Any], name: str) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary[name] = vocabulary.pop(entry["content"])
    entry["content"] = name
