"""Facts: remembered with source and age, found by their words."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from gesso.memory import Memory, Store

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture
def memory(url: str) -> Iterator[Memory]:
    with Memory(url) as memory:
        for text in (
            "Anna is allergic to walnuts",
            "The boiler was serviced by Brandt & Sons",
            "Anna moved to Porto in 2024",
            "Invoices are paid on Fridays",
        ):
            memory.remember(text, source="chat", at=NOW)
        yield memory


def texts(memory: Memory, query: str, k: int = 5) -> list[str]:
    return [fact.text for fact in memory.recall(query, k)]


def test_a_fact_has_source_and_age(memory: Memory) -> None:
    (fact,) = memory.recall("boiler", 1)
    assert (fact.source, fact.at) == ("chat", NOW)


def test_words_are_found_in_other_forms(memory: Memory) -> None:
    assert texts(memory, "When do we pay an invoice?") == ["Invoices are paid on Fridays"]
    assert texts(memory, "Who services the boilers?")[0].startswith("The boiler")


def test_the_best_comes_first_and_k_bounds(memory: Memory) -> None:
    assert texts(memory, "Where did Anna move?")[0] == "Anna moved to Porto in 2024"
    assert len(texts(memory, "Anna", 1)) == 1
    assert len(texts(memory, "Anna", 5)) == 2


def test_a_fact_is_kept_once_a_source(memory: Memory) -> None:
    first = memory.remember("Rent is due on the 1st", source="mail", at=NOW)
    assert memory.remember("Rent is due on the 1st", source="mail", at=LATER) == first
    other = memory.remember("Rent is due on the 1st", source="chat", at=LATER)
    assert other.id != first.id
    assert len(memory.recall("rent due", 9)) == 2


@pytest.mark.parametrize("query", ["", "?!", '"', "a OR (b", "NEAR(", "what is the", "* ^ col:x"])
def test_any_text_may_be_asked(memory: Memory, query: str) -> None:
    assert isinstance(memory.recall(query, 3), list)


def test_facts_outlive_the_process(memory: Memory, url: str) -> None:
    memory.close()
    with Store(url) as store, Memory(url) as again:
        assert store.runs() == []
        assert len(again.recall("Anna", 5)) == 2
