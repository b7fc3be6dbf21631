"""Facts found by their meaning, by a model small enough to know what it means: two ideas."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gesso.memory import Embedding, Memory
from gesso.memory.ranking import reciprocal_ranks

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
IDEAS = ({"rabbit", "hare", "bunny"}, {"boiler", "heating", "furnace"})


class Ideas:
    """How many words of each idea a text has."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += texts
        return [
            [0.01, *(sum(word in text.lower() for word in idea) for idea in IDEAS)]
            for text in texts
        ]


@pytest.fixture
def model() -> Ideas:
    return Ideas()


@pytest.fixture
def memory(url: str, model: Ideas) -> Iterator[Memory]:
    with Memory(url, embedding=Embedding("ideas", model)) as memory:
        for text in ("The bunny eats clover", "Brandt mended the furnace", "Rent is due on Friday"):
            memory.remember(text, source="chat", at=NOW)
        yield memory


def test_a_fact_is_found_without_any_of_its_words(memory: Memory) -> None:
    assert memory.recall("hare", 1)[0].text == "The bunny eats clover"
    assert memory.recall("heating", 1)[0].text == "Brandt mended the furnace"


def test_words_count_beside_the_meaning(memory: Memory) -> None:
    memory.remember("A rabbit was seen", source="chat", at=NOW)
    assert memory.recall("Is there clover for a hare?", 1)[0].text == "The bunny eats clover"


def test_a_fact_is_embedded_once(memory: Memory, model: Ideas) -> None:
    for _ in range(2):
        memory.recall("hare", 1)
    assert len(model.texts) == 3 + 2
    memory.remember("A hare was seen", source="chat", at=NOW)
    memory.recall("hare", 1)
    assert len(model.texts) == 5 + 2


def test_many_facts_are_embedded_in_parts(memory: Memory, model: Ideas) -> None:
    for number in range(150):
        memory.remember(f"Hare {number}", source="chat", at=NOW)
    assert len(memory.recall("bunny", 200)) == 153
    assert len(set(model.texts)) == 153 + 1


def test_only_current_facts_that_the_agent_may_know_are_near(memory: Memory) -> None:
    memory.remember("The hare is the cook's", source="chat", at=NOW, agent="cook")
    bunny = memory.recall("bunny", 1)[0]
    memory.remember(
        "The bunny eats hay", source="chat", at=NOW + timedelta(days=1), supersedes=[bunny.id]
    )
    found = {fact.text for fact in memory.recall("hare", 9, agent="clerk")}
    assert found == {"The bunny eats hay", "Brandt mended the furnace", "Rent is due on Friday"}


def test_the_vector_of_an_erased_fact_is_gone(memory: Memory, tmp_path: Path) -> None:
    bunny = memory.recall("bunny", 1)[0]
    memory.forget(bunny.id, at=NOW, erase=True)
    assert all(fact.id != bunny.id for fact in memory.recall("bunny", 9))
    with memory._database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM vectors").scalar() == 2


def test_a_memory_without_an_embedding_shares_the_store(memory: Memory, url: str) -> None:
    memory.recall("hare", 1)
    with Memory(url) as plain:
        assert plain.recall("hare", 1) == []
        plain.remember("Hares sleep by day", source="chat", at=NOW)
    assert len(memory.recall("hare", 9)) == 4


def test_a_model_that_changed_its_length_is_not_compared(memory: Memory, url: str) -> None:
    memory.recall("hare", 1)
    longer = Embedding("ideas", lambda texts: [[1.0, 2.0, 3.0, 4.0] for _ in texts])
    with Memory(url, embedding=longer) as other:
        assert [fact.text for fact in other.recall("bunny", 9)] == ["The bunny eats clover"]


def test_two_orders_are_fused_by_reciprocal_rank() -> None:
    assert reciprocal_ranks([[7, 8], [8, 9]]) == pytest.approx(
        {7: 1 / 61, 8: 1 / 62 + 1 / 61, 9: 1 / 62}
    )
