"""Passes over several chains at once, beside one chain at a time, and the kernel beside the plain
code. Without a GPU the kernel runs under Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from gesso.engine import choice, regex
from gesso.engine.constraint import TokenAutomaton, compile_automaton
from gesso.engine.constraint.sweep import NEVER, Sweep, Union, stepped_plainly, swept
from gesso.engine.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    tokens=[None, None, b"a", b"b", b"ab", b"ba", b"c"],
    controls={"<pad>": 0, "<end>": 1},
    ends=(1,),
    pad=0,
)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def automata() -> list[TokenAutomaton]:
    languages = [regex("[abc]{2,600}"), choice(["ab", "abc", "cab", "b"]), regex("a(b|c)*")]
    return [compile_automaton(language, VOCABULARY) for language in languages]


def sweeps(device: torch.device) -> list[Sweep]:
    """Three languages in both directions, of three lengths, some states impossible at first; one
    has more states than the kernel takes at once."""
    torch.manual_seed(0)
    found = []
    for automaton, length in zip(automata(), (4, 2, 7), strict=True):
        tables = automaton.on(device)
        first = torch.zeros(automaton.sink + 1, device=device)
        first[::3] = NEVER
        for links in (tables.backward, tables.forward):
            weights = torch.randn(length, automaton.sets + 1, device=device) * 20
            found.append(Sweep(links, weights, first))
    return found


@pytest.mark.parametrize("sums", [True, False])
def test_chains_side_by_side_are_what_each_is_alone(sums: bool) -> None:
    together = swept(sweeps(DEVICE), sums=sums)
    for sweep, found in zip(sweeps(DEVICE), together, strict=True):
        assert found.shape == (len(sweep.weights) + 1, len(sweep.first))
        assert torch.allclose(found, swept([sweep], sums=sums)[0], atol=1e-4)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernel_agrees_with_the_plain_code() -> None:
    # Triton interprets only what it was imported for, so this takes a process of its own
    interpreted = {} if DEVICE.type == "cuda" else {"TRITON_INTERPRET": "1"}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=os.environ | interpreted, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def compare() -> None:
    """Raise unless the kernel and the plain code find the same."""
    from gesso.engine.constraint.kernel import stepped

    union = Union.of(sweeps(DEVICE))
    for sums in (True, False):
        plain = stepped_plainly(union, sums=sums)
        torch.testing.assert_close(stepped(union, sums=sums), plain, atol=1e-4, rtol=1e-6)


if __name__ == "__main__":
    compare()
