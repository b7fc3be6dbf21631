"""What the bench says was run: the engines of a cell, and a conversation that is read once."""

from __future__ import annotations

import json

import pytest
from gesso.agent.cli import app
from gesso.engine import load_engine
from gesso.engine.benchmarks.conversation import TURNS, Conversation, converse
from gesso.engine.views import BLOCK
from typer.testing import CliRunner


@pytest.mark.slow
def test_a_turn_of_the_conversation_reads_what_was_said_since_and_less_than_a_block() -> None:
    found = converse(load_engine("sketch"), rounds=1)
    assert len(found.prompt_tokens) == len(found.prefill_seconds) == TURNS
    assert found.cached_tokens[0] == 0
    for last, tokens, cached in zip(
        found.prompt_tokens, found.prompt_tokens[1:], found.cached_tokens[1:], strict=False
    ):
        assert last - BLOCK <= cached < tokens


def test_the_last_turn_is_told_by_the_first() -> None:
    found = Conversation([100, 110, 120], [0, 64, 64], [2.0, 0.5, 0.25])
    assert found.last_by_first == 0.125


@pytest.mark.slow
def test_every_engine_is_in_every_cell() -> None:
    small = ["--prompt-tokens", "8", "--concurrency", "1", "--rounds", "1", "--steps", "2"]
    found = CliRunner().invoke(app, ["bench", *small, "--quantize", "int8", "--json"])
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    engines = ["gesso", "gesso int8", "transformers"]
    assert [[one["engine"] for one in cell] for cell in report["timings"]] == [engines]
    assert report["conversation"]["last_by_first"] > 0
