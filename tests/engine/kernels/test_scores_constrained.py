"""Scores that nobody has written out under a constraint, beside the table of them."""

from __future__ import annotations

import pytest
import torch
from gesso.engine import json_schema
from gesso.engine.constraint import Chain, TokenAutomaton, compile_automaton, viterbi
from gesso.engine.constraint.masses import best_tokens, class_masses, class_maxima
from gesso.engine.vocabulary import Vocabulary

pytest.importorskip("triton", reason="Triton is not installed")

from gesso.engine.kernels.scores import Scores

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="module")
def automaton() -> TokenAutomaton:
    tokens = [None, None, *(bytes([byte]) for byte in range(256)), b"ab", b'a"', b'",', b"12"]
    controls = {"<pad>": 0, "<end>": 1}
    vocabulary = Vocabulary(tokens=tokens, controls=controls, ends=(1,), pad=0)
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}
    return compile_automaton(json_schema(schema), vocabulary)


def scores(automaton: TokenAutomaton, seed: int) -> Scores:
    torch.manual_seed(seed)
    raw = torch.randn(16, len(automaton.token_class), device=DEVICE) * 30
    raw[3:6, ::2] = torch.nan
    raw[7] = torch.nan
    return Scores.of(raw.to(torch.bfloat16), 30.0, 0.5)


def test_classes_weigh_what_they_do_in_the_table(automaton: TokenAutomaton) -> None:
    found, tables = scores(automaton, 0), automaton.on(DEVICE)
    table = found.float()
    for weigh in (class_maxima, class_masses):
        torch.testing.assert_close(weigh(tables, found), weigh(tables, table), atol=1e-4, rtol=1e-5)
    for one in range(automaton.classes):
        tokens = best_tokens(tables, [one] * len(found), found)
        assert set(automaton.token_class[tokens.cpu()].tolist()) == {one}
        weights = table.gather(1, tokens[:, None])[:, 0].nan_to_num(nan=-1e4).clamp(min=-1e4)
        torch.testing.assert_close(weights, class_maxima(tables, table)[:, one], atol=1e-4, rtol=0)


@pytest.mark.parametrize("tokens_left", [9, 40])
@pytest.mark.parametrize("score_tail", [True, False])
def test_the_best_word_is_the_tables(
    automaton: TokenAutomaton, tokens_left: int, score_tail: bool
) -> None:
    for seed in range(5):
        found = scores(automaton, seed)
        words = [
            viterbi([Chain(automaton, table, automaton.start, tokens_left, score_tail)])[0]
            for table in (found, found.float())
        ]
        assert words[0].length == words[1].length
        weights = [
            found.gather(1, word.tokens.to(DEVICE)[:, None]).clamp(min=-1e4) for word in words
        ]
        assert torch.allclose(weights[0], weights[1], atol=1e-3)
