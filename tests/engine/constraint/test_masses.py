"""What classes weigh, beside the same in float64, class by class."""

from __future__ import annotations

import pytest
import torch
from gesso.engine import json_schema
from gesso.engine.constraint import TokenAutomaton, compile_automaton
from gesso.engine.constraint.masses import FLOOR, best_tokens, class_masses, class_maxima
from gesso.engine.vocabulary import Vocabulary
from torch import Tensor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def automaton() -> TokenAutomaton:
    tokens = [None, None, *(bytes([byte]) for byte in range(256)), b"ab", b'a"', b'",', b"12"]
    controls = {"<pad>": 0, "<end>": 1}
    vocabulary = Vocabulary(tokens=tokens, controls=controls, ends=(1,), pad=0)
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}
    return compile_automaton(json_schema(schema), vocabulary)


def members(automaton: TokenAutomaton, logp: Tensor) -> list[Tensor]:
    """The log-probabilities of each class's tokens, in float64 and with a floor."""
    table = logp.double().nan_to_num(nan=FLOOR, neginf=FLOOR).clamp(min=FLOOR)
    return list(table[:, automaton.members].split(automaton.on(CPU).class_sizes.tolist(), 1))


@pytest.mark.parametrize("spread", [1, 30, 300])  # at 300 most probabilities underflow
@pytest.mark.parametrize("bad", [None, float("-inf"), float("nan")])
def test_nothing_is_lost_to_underflow(
    automaton: TokenAutomaton, spread: float, bad: float | None
) -> None:
    torch.manual_seed(0)
    logp = (torch.randn(20, len(automaton.token_class)) * spread).log_softmax(-1)
    if bad is not None:
        logp[3:6, ::2] = bad
        logp[7] = bad
    tables = automaton.on(CPU)
    masses, best = class_masses(tables, logp), class_maxima(tables, logp)
    for found, own in enumerate(members(automaton, logp)):
        assert torch.allclose(masses[:, found].double(), own.logsumexp(1), atol=1e-5, rtol=1e-6)
        assert torch.equal(best[:, found], own.amax(1).float())
        tokens = best_tokens(tables, [found] * len(logp), logp)
        assert set(automaton.token_class[tokens].tolist()) == {found}
        chosen = logp.gather(1, tokens[:, None])[:, 0].nan_to_num(nan=FLOOR, neginf=FLOOR)
        assert torch.equal(chosen, best[:, found])
