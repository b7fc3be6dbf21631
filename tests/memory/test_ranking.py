"""The order of what is found: words first, then the neighbours, the source, the month, age, use."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from gesso.memory import BM25, Fact, Memory, Ranking
from gesso.memory.ranking import spread
from gesso.memory.words import Month, months, telling_words

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture
def memory(url: str) -> Iterator[Memory]:
    with Memory(url) as memory:
        yield memory


def talk(memory: Memory, *said: str, episode: str, at: datetime = NOW) -> list[Fact]:
    return [memory.remember(text, source="chat", at=at, episode=episode) for text in said]


def test_an_answer_is_found_by_the_question_before_it(memory: Memory) -> None:
    _, answer, *_ = talk(
        memory,
        "What did the vet say about your rabbit?",
        "Nothing broken, only bruises",
        "Good to hear",
        episode="monday",
    )
    talk(memory, "A vet came to school", "He was funny", episode="tuesday")
    assert answer in memory.recall("What is wrong with the rabbit, says the vet?", 2)
    assert answer not in memory.recall("the rabbit and the vet", 9, ranking=BM25)


def test_neighbours_are_of_one_episode_of_one_agent(memory: Memory) -> None:
    talk(memory, "The rabbit is ill", episode="monday")
    talk(memory, "It rained", episode="tuesday")
    memory.remember("Soup again", source="chat", at=NOW, episode="monday", agent="cook")
    assert [fact.text for fact in memory.recall("rabbit", 9)] == ["The rabbit is ill"]


def test_a_superseded_neighbour_is_passed_over(memory: Memory) -> None:
    _, wrong, right = talk(memory, "Which vet?", "Dr Kim", "No, Dr Lee", episode="monday")
    memory.remember(
        "Dr Lee, I am sure",
        source="chat",
        at=NOW,
        episode="monday",
        supersedes=[wrong.id, right.id],
    )
    found = [fact.text for fact in memory.recall("vet", 9)]
    assert found == ["Which vet?", "Dr Lee, I am sure"]


def test_of_two_alike_the_named_source_comes_first(memory: Memory) -> None:
    for source in ("Tom", "Eve", "Kim"):
        memory.remember("I repaired the boiler", source=source, at=NOW)
    assert memory.recall("What did Eve repair?", 1)[0].source == "Eve"


def test_of_two_alike_the_named_month_comes_first(memory: Memory) -> None:
    for month in (3, 5, 9):
        at = datetime(2025, month, 8, tzinfo=UTC)
        memory.remember("We sailed", source=f"mail {month}", at=at)
    (first, *_) = memory.recall("Where did we sail in May 2025?", 3, at=NOW)
    assert first.at.month == 5


def test_of_two_alike_the_newer_and_the_more_used_come_first(memory: Memory) -> None:
    old = memory.remember("The rent is due", source="mail", at=NOW - timedelta(days=90))
    new = memory.remember("The rent is due", source="chat", at=NOW)
    assert memory.recall("rent", 2, at=NOW) == [new, old]
    for _ in range(10):
        memory.count_use([old], at=NOW)
    assert [fact.id for fact in memory.recall("rent", 2, at=NOW)] == [old.id, new.id]
    used = memory.fact(old.id)
    assert (used.uses, used.used) == (10, NOW)


def test_age_and_use_do_not_outweigh_the_words(memory: Memory) -> None:
    asked = memory.remember(
        "The boiler was serviced by Brandt", source="mail", at=NOW - timedelta(days=900)
    )
    other = memory.remember("The boiler is loud", source="chat", at=NOW)
    for _ in range(40):
        memory.count_use([other], at=NOW)
    assert memory.recall("Who serviced the boiler?", 1, at=NOW) == [asked]


def test_scores_spread_as_the_sum_over_all_pairs_says() -> None:
    draw = random.Random(3)
    ranking = Ranking(carry=0.6, reach=3)
    for _ in range(50):
        episodes = [list(range(draw.randint(1, 9))), list(range(20, draw.randint(21, 30)))]
        places = [fact for episode in episodes for fact in episode] + [40, 41]
        found = {fact: draw.random() for fact in places if draw.random() < 0.4}
        expected: dict[int, float] = {}
        for fact in places:
            reached = [
                (0.6 ** abs(fact - other) * score) ** 2
                for other, score in found.items()
                if fact == other
                or (abs(fact - other) <= 3 and any({fact, other} <= set(e) for e in episodes))
            ]
            if reached:
                expected[fact] = math.sqrt(sum(reached))
        assert spread(found, episodes, ranking) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("on 7 May 2023", [Month(2023, 5)]),
        ("on May 7th, 2023, or in June", [Month(2023, 5), Month(None, 6)]),
        ("since 2023-05-07", [Month(2023, 5)]),
        ("in 2022", [Month(2022, None)]),
        ("may I march?", []),
    ],
)
def test_months_that_a_query_names(query: str, expected: list[Month]) -> None:
    assert months(query) == expected


def test_words_that_tell_nothing_are_left_out_unless_there_are_no_others() -> None:
    assert telling_words("What is Anna's dog called? Anna!") == ["anna", "dog", "called"]
    assert telling_words("Who are you?") == ["who", "are", "you"]
