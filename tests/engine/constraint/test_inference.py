"""Inference over a canvas, beside the enumeration of every word."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import torch
from gesso.engine import BudgetError, choice, json_schema, regex
from gesso.engine.constraint import (
    Chain,
    Constraint,
    TokenAutomaton,
    compile_automaton,
    posterior,
    sample,
    support,
    viterbi,
)
from gesso.engine.vocabulary import Vocabulary
from torch import Tensor

PAD, END = 0, 1
TOKENS = [None, None, b"a", b"b", b"ab", b"ba", b"c"]
VOCABULARY = Vocabulary(tokens=TOKENS, controls={"<pad>": PAD, "<end>": END}, ends=(END,), pad=PAD)
CONSTRAINTS = {
    "a loop": regex("a(b|c)*"),
    "a choice": choice(["ab", "abc", "cab", "b"]),
    "counted": regex("[abc]{2,4}"),
    "one word": choice(["aba"]),
}


def words(
    automaton: TokenAutomaton, length: int, start: int, tokens_left: int
) -> Iterator[tuple[int, ...]]:
    """Every canvas that is a word with its end and padding, or the beginning of one that the
    budget still holds; straight from the definition."""
    for canvas in itertools.product(range(len(TOKENS)), repeat=length):
        state, valid = start, True
        for place, token in enumerate(canvas):
            if state == automaton.sink:
                valid = token == PAD
            else:
                state = automaton.advance(state, token)
                ended = state == automaton.sink
                valid = state >= 0 and (not ended or place < tokens_left)
            if not valid:
                break
        if not valid:
            continue
        if state == automaton.sink or automaton.distance[state] + 1 <= tokens_left - length:
            yield canvas


def weight(
    automaton: TokenAutomaton, logp: Tensor, canvas: Sequence[int], start: int, *, score_tail: bool
) -> float:
    total, state = 0.0, start
    for place, token in enumerate(canvas):
        if state != automaton.sink:
            total += float(logp[place, token])
            state = automaton.advance(state, token)
        elif score_tail:
            total += float(logp[place, PAD])
    return total


@pytest.mark.parametrize("score_tail", [True, False])
@pytest.mark.parametrize(("length", "tokens_left"), [(4, 4), (4, 3), (3, 8), (5, 5)])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_it_agrees_with_enumeration(
    name: str, length: int, tokens_left: int, score_tail: bool
) -> None:
    automaton = compile_automaton(CONSTRAINTS[name], VOCABULARY)
    torch.manual_seed(len(name) + length)
    logp = torch.randn(length, len(TOKENS)).mul(2).log_softmax(-1)
    all_words = list(words(automaton, length, automaton.start, tokens_left))
    weights = {
        word: weight(automaton, logp, word, automaton.start, score_tail=score_tail)
        for word in all_words
    }
    assert weights, "the case is empty"
    best = max(weights.values())
    log_z = math.log(sum(math.exp(value) for value in weights.values()))

    chain = Chain(automaton, logp, automaton.start, tokens_left, score_tail)
    found = viterbi([chain])[0]
    assert tuple(found.tokens.tolist()) in weights
    assert weights[tuple(found.tokens.tolist())] == pytest.approx(best, abs=1e-5)

    marginals = posterior([chain])[0]
    assert marginals.log_z == pytest.approx(log_z, abs=1e-5)
    if score_tail:
        expected = torch.zeros(length, len(TOKENS))
        for word, value in weights.items():
            for place, token in enumerate(word):
                expected[place, token] += math.exp(value - log_z)
        assert torch.allclose(marginals.tokens.exp(), expected, atol=1e-5)
    assert torch.allclose(marginals.tokens.exp().sum(-1), torch.ones(length), atol=1e-5)

    possible = support(automaton, length, automaton.start, tokens_left)
    seen = {
        (place, int(automaton.token_class[token]))
        for word in all_words
        for place, token in enumerate(word)
        if END not in word[:place]
    }
    stands = {(int(place), int(found)) for place, found in zip(*possible.nonzero(), strict=True)}
    assert stands == seen


def batch() -> list[Chain]:
    """Canvases of different languages, lengths, budgets, tails and places in the language."""
    torch.manual_seed(3)
    chains = []
    for (number, constraint), length, left in zip(
        enumerate(CONSTRAINTS.values()), (5, 4, 6, 3), (20, 4, 5, 30), strict=True
    ):
        automaton = compile_automaton(constraint, VOCABULARY)
        logp = torch.randn(length, len(TOKENS)).mul(2).log_softmax(-1)
        start = automaton.start
        if number == 2:
            start = automaton.advance(start, TOKENS.index(b"c"))
        chains.append(Chain(automaton, logp, start, left, score_tail=number % 2 == 0))
    over = chains[0]
    return [*chains, Chain(over.automaton, over.logp, over.automaton.sink, 3, score_tail=True)]


def test_a_batch_of_different_requests_is_each_of_them_alone() -> None:
    chains = batch()
    for chain, together in zip(chains, viterbi(chains), strict=True):
        alone = viterbi([chain])[0]
        assert together.length == alone.length
        assert torch.equal(together.tokens, alone.tokens)
        assert torch.equal(together.states, alone.states)
    for chain, together in zip(chains, posterior(chains), strict=True):
        alone = posterior([chain])[0]
        assert together.log_z == pytest.approx(alone.log_z, abs=1e-5)
        assert torch.allclose(together.tokens.exp(), alone.tokens.exp(), atol=1e-5)
    drawn = sample(chains, torch.Generator().manual_seed(4), 30)
    again = sample(chains, torch.Generator().manual_seed(4), 30)
    for chain, tokens, same in zip(chains, drawn, again, strict=True):
        assert torch.equal(tokens, same)
        assert tokens.shape == (30, chain.length)
        found = set(words(chain.automaton, chain.length, chain.start, chain.tokens_left))
        assert set(map(tuple, tokens.tolist())) <= found


def test_samples_have_the_posteriors_frequencies() -> None:
    automaton = compile_automaton(CONSTRAINTS["counted"], VOCABULARY)
    torch.manual_seed(5)
    logp = torch.randn(4, len(TOKENS)).log_softmax(-1)
    weights = {
        word: weight(automaton, logp, word, automaton.start, score_tail=True)
        for word in words(automaton, 4, automaton.start, 4)
    }
    total = sum(math.exp(value) for value in weights.values())
    generator, draws = torch.Generator().manual_seed(1), 6000
    chain = Chain(automaton, logp, automaton.start, 4, score_tail=True)
    counts = Counter(map(tuple, sample([chain], generator, draws)[0].tolist()))
    assert set(counts) <= set(weights)
    for word, value in weights.items():
        chance = math.exp(value) / total
        tolerance = 4.5 * math.sqrt(chance * (1 - chance) / draws) + 1 / draws
        assert counts[word] / draws == pytest.approx(chance, abs=tolerance)


def test_the_end_state_of_a_canvas_is_the_start_of_the_next() -> None:
    constraint = choice(["abcabcabc"])
    automaton = compile_automaton(constraint, VOCABULARY)
    torch.manual_seed(0)
    written, state, left = b"", automaton.start, 12
    for _ in range(4):
        logp = torch.randn(3, len(TOKENS)).log_softmax(-1)
        word = viterbi([Chain(automaton, logp, state, left, score_tail=False)])[0]
        for token in word.tokens[: word.length].tolist():
            written += TOKENS[token] or b""
        state, left = int(word.states[-1]), left - 3
    assert state == automaton.sink
    assert constraint.accepts(written.decode())


@pytest.mark.parametrize("bad", [float("-inf"), float("nan"), -1e30])
def test_a_word_that_the_model_finds_impossible_is_still_found(bad: float) -> None:
    automaton = compile_automaton(CONSTRAINTS["one word"], VOCABULARY)
    logp = torch.full((5, len(TOKENS)), bad)
    logp[:, 6] = 0.0  # the model is sure of "c", which no word has
    chain = Chain(automaton, logp, automaton.start, 5, score_tail=True)
    found = viterbi([chain])[0]
    text = b"".join(TOKENS[token] or b"" for token in found.tokens[: found.length].tolist())
    assert text == b"aba"
    marginals = posterior([chain])[0]
    assert torch.isfinite(marginals.tokens).all()
    assert math.isfinite(marginals.log_z)


def test_a_budget_that_no_word_fits_is_an_error_with_the_need() -> None:
    automaton = compile_automaton(choice(["abcabc"]), VOCABULARY)
    logp = torch.zeros(8, len(TOKENS))
    assert viterbi([Chain(automaton, logp, automaton.start, 5, score_tail=True)])[0].length == 5
    with pytest.raises(BudgetError, match="needs 5 more tokens, 4 are left"):
        Chain(automaton, logp, automaton.start, 4, score_tail=True)


def byte_vocabulary() -> Vocabulary:
    tokens = [None, None, *(bytes([byte]) for byte in range(256))]
    return Vocabulary(tokens=tokens, controls={"<pad>": PAD, "<end>": END}, ends=(END,), pad=PAD)


@pytest.mark.parametrize(
    "constraint", [regex(".{3,9}"), json_schema({"type": "string", "minLength": 2})]
)
def test_text_of_byte_tokens_is_valid_utf8(constraint: Constraint) -> None:
    vocabulary = byte_vocabulary()
    automaton = compile_automaton(constraint, vocabulary)
    for seed in range(20):
        torch.manual_seed(seed)
        logp = torch.randn(24, len(vocabulary)).mul(4).log_softmax(-1)
        word = viterbi([Chain(automaton, logp, automaton.start, 24, score_tail=False)])[0]
        spelled = [vocabulary.tokens[token] for token in word.tokens[: word.length].tolist()]
        assert constraint.accepts(b"".join(piece or b"" for piece in spelled).decode())
