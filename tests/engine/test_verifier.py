"""Verified drafts: what is committed is what the encoder alone would have written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gesso.engine import (
    Constraint,
    Engine,
    Message,
    Request,
    choice,
    json_schema,
    load_engine,
    regex,
)
from gesso.engine.canvas import Canvas
from gesso.engine.constraint import compile_automaton
from gesso.engine.course import Course
from gesso.engine.model import DiffusionGemma
from oracle import Shape, save_checkpoint

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 9}, "b": {"enum": ["x", "yy", 3]}},
    "required": ["a"],
}
CONSTRAINTS = {
    "digits": regex("[0-9]{5,40}"),
    "a choice": choice(["one", "two", "three hundred"]),
    "a schema": json_schema(SCHEMA),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, Shape("tiny", layers="sf", canvas=16))
    loaded = load_engine(folder)
    loaded.config = loaded.config.model_copy(update={"verify_drafts": True})
    return loaded


def greedy(engine: Engine, request: Request, constraint: Constraint, budget: int) -> str:
    """Token by token with the encoder alone, but for what is certain and for a few ways on, which
    are scored one at a time: the slow, obvious twin."""
    vocabulary = engine.tokenizer.vocabulary
    automaton = compile_automaton(constraint, vocabulary)
    course = Course(constraint, automaton, engine.tokenizer, tokens_left=budget, score_tail=False)
    tokens, state = engine.tokenizer.encode(engine.template.render(request)), automaton.start
    prompt = len(tokens)

    model = engine.model
    assert isinstance(model, DiffusionGemma)

    def logp_behind(text: list[int]) -> torch.Tensor:
        states = model.encode(torch.tensor([text]), model.new_cache())
        return model.logits(states[0, -1:])[0].log_softmax(-1)

    def score(word: list[int]) -> float:
        total = 0.0
        for place, token in enumerate(word):
            alike = vocabulary.ends if token in vocabulary.ends else (token,)
            total += float(logp_behind(tokens + word[:place])[list(alike)].logsumexp(-1))
        return total

    with torch.inference_mode():
        while not course.ended:
            chosen = course.certain()
            if not chosen and (words := course.alternatives()):
                chosen = max(words, key=score)
            if not chosen:
                allowed = torch.from_numpy(automaton.allowed(state, course.tokens_left))
                chosen = [int(logp_behind(tokens).masked_fill(~allowed, -1e9).argmax())]
            for token in chosen:
                course.push(token)
                state = automaton.advance(state, token)
                tokens.append(token)
    return engine.tokenizer.decode(tokens[prompt:-1])


@pytest.mark.parametrize("budget", [14, 16, 17, 48])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_verified_turn_is_the_greedy_one(engine: Engine, name: str, budget: int) -> None:
    constraint = CONSTRAINTS[name]
    request = Request(
        [Message("user", name)], constraint=constraint, seed=budget, max_tokens=budget
    )
    result = engine.generate(request)
    assert constraint.accepts(result.text)
    assert result.text == greedy(engine, request, constraint, budget)


def test_without_a_constraint_too_every_turn_is_valid_text_within_its_budget(
    engine: Engine,
) -> None:
    result = engine.generate(Request([Message("user", "hi")], seed=1, max_tokens=40))
    assert result.usage.output_tokens <= 40
    again = engine.generate(Request([Message("user", "hi")], seed=9, max_tokens=40))
    assert result.text == again.text  # greedy: the seed only changes how soon it is found


def test_what_is_certain_goes_before_what_a_draft_says(engine: Engine) -> None:
    constraint = regex('(ab|ba)": "company total[0-9]{2}')
    course = Course(
        constraint,
        compile_automaton(constraint, engine.tokenizer.vocabulary),
        engine.tokenizer,
        tokens_left=60,
        score_tail=False,
    )
    canvas, encode = Canvas(60, course), engine.tokenizer.encode
    certain = encode('b": "company total')
    letters = [token for letter in "company" for token in encode(letter)]
    draft = [*encode("a"), *encode('b": "'), *letters, *encode(" total12")]
    stand = canvas.follow(draft, draft, [0.5] * len(draft))
    assert canvas.known == [*encode("a"), *certain]  # a word of the vocabulary, not its letters
    assert stand == 1 + len(encode('b": "'))
    assert canvas.posteriors == [0.5, *[1.0] * len(certain)]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_the_seed_changes_only_how_soon_a_turn_is_found(engine: Engine, name: str) -> None:
    requests = [
        Request([Message("user", name)], constraint=CONSTRAINTS[name], seed=seed, max_tokens=48)
        for seed in range(6)
    ]
    assert len({engine.generate(request).text for request in requests}) == 1
