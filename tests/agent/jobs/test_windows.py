"""Long texts in windows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from gesso.agent.jobs.windows import windows
from hypothesis import given
from hypothesis import strategies as st


def words(text: str) -> int:
    return len(text.split()) + text.count("\n")


@given(
    st.text("ab \n", max_size=300),
    st.integers(1, 60),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from([len, words]),
)
def test_they_cover_the_text_and_each_fits(
    text: str, limit: int, overlap: float, length: Callable[[str], int]
) -> None:
    found = windows(text, length, limit, overlap)
    assert found[0].start == 0
    assert found[-1].start + len(found[-1].text) == len(text)
    for window in found:
        assert text[window.start :].startswith(window.text)
        assert length(window.text) <= limit
    for one, following in pairwise(found):
        assert one.start < following.start <= one.start + len(one.text)


def test_a_text_that_fits_is_one_window() -> None:
    assert [window.text for window in windows("some words", len, 10)] == ["some words"]
    assert [window.text for window in windows("", len, 10)] == [""]


def test_a_cut_is_at_a_paragraph_a_line_or_a_word() -> None:
    text = "one two\nthree four\n\nfive six seven eight nine ten\neleven twelve"
    cuts = [window.start + len(window.text) for window in windows(text, len, 30, 0.3)][:-1]
    assert all(text[cut - 1].isspace() for cut in cuts)
    assert text[: cuts[0]].endswith("four\n\n")


def test_neighbours_share_whole_lines() -> None:
    text = "".join(f"line {number:03}\n" for number in range(100))
    found = windows(text, len, 200, 0.2)
    for one, following in pairwise(found):
        shared = text[following.start : one.start + len(one.text)]
        assert shared.startswith("line ")
        assert len(shared) >= 9


def test_a_limit_that_nothing_fits_in_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        windows("text", lambda text: 5 if text else 0, 4)
