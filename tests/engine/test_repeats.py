"""What follows the last tokens of a text where they stood in its prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from gesso.engine import load_engine
from gesso.engine.benchmarks.batches import receipts
from gesso.engine.repeats import Repeats


def behind(prompt: str, known: str, most: int = 4) -> str:
    def tokens(text: str) -> Sequence[int]:
        return list(text.encode())

    return bytes(Repeats(tokens(prompt)).behind(tokens(known), most)).decode()


def test_what_followed_where_most_tokens_agree_is_taken() -> None:
    prompt = "the cat, a cap, that cat!"
    assert behind(prompt, "ca") == "t!"  # the last time
    assert behind(prompt, "the ca") == "t, a"  # `the ca`, not `t ca`
    assert behind(prompt, "a ca") == "p, t"
    assert behind(prompt, "the ca", most=1) == "t"


def test_nothing_is_taken_where_too_few_agree() -> None:
    assert behind("abc", "xb") == ""
    assert behind("abc", "b") == ""
    assert behind("abc", "bc") == ""
    assert behind("a", "a") == ""


def test_repeating_saves_steps_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, requests = load_engine("sketch"), receipts(4)
    repeating = [engine.generate(request) for request in requests]
    monkeypatch.setattr(Repeats, "behind", lambda *_: [])
    drafted = [engine.generate(request) for request in requests]
    assert [one.text for one in repeating] == [one.text for one in drafted]
    steps = [sum(one.usage.denoising_steps for one in found) for found in (repeating, drafted)]
    assert steps[0] < 0.9 * steps[1]
