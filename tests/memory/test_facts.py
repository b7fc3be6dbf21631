"""Facts over time: superseded but not erased, forgotten, erased on demand; of one agent or all."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gesso.memory import Fact, FactError, Memory, StoreLockedError

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=12)

WRITER = """
import sys
from datetime import UTC, datetime
from gesso.memory import Memory
with Memory(sys.argv[1]) as memory:
    for number in range(100):
        text = f"{sys.argv[2]} saw bird {number}"
        memory.remember(text, source=sys.argv[2], at=datetime.now(UTC))
"""


@pytest.fixture
def memory(url: str) -> Iterator[Memory]:
    with Memory(url) as memory:
        yield memory


def told(memory: Memory, text: str, at: datetime = NOW, **more: object) -> Fact:
    return memory.remember(text, source="chat", at=at, **more)  # type: ignore[arg-type]


def test_a_newer_fact_supersedes_an_older_one_without_erasing_it(memory: Memory) -> None:
    porto = told(memory, "Anna lives in Porto")
    lisbon = told(memory, "Anna lives in Lisbon", LATER, supersedes=[porto.id])
    assert memory.recall("Where does Anna live?", 5) == [lisbon]
    assert memory.facts() == [lisbon]
    old, new = memory.facts(every=True)
    assert (old.text, old.superseded_by, old.current) == ("Anna lives in Porto", lisbon.id, False)
    assert new == lisbon


def test_a_step_that_runs_twice_supersedes_once(memory: Memory) -> None:
    porto = told(memory, "Anna lives in Porto")
    facts = {told(memory, "Anna lives in Lisbon", LATER, supersedes=[porto.id]) for _ in "12"}
    assert len(facts) == 1
    assert len(memory.facts(every=True)) == 2


def test_what_was_superseded_may_be_told_again(memory: Memory) -> None:
    porto = told(memory, "Anna lives in Porto")
    lisbon = told(memory, "Anna lives in Lisbon", LATER, supersedes=[porto.id])
    back = told(memory, "Anna lives in Porto", LATER, supersedes=[lisbon.id])
    assert back.id != porto.id
    assert memory.facts() == [back]


def test_only_what_can_be_superseded_is(memory: Memory) -> None:
    first = told(memory, "The key is under the mat")
    with pytest.raises(FactError, match="there is no fact 99"):
        told(memory, "The key is with Tom", supersedes=[99])
    assert memory.facts(every=True) == [first], "a refused fact is not kept"
    with pytest.raises(FactError, match="newer than the one"):
        told(memory, "The key is with Tom", NOW - timedelta(days=1), supersedes=[first.id])
    with pytest.raises(FactError, match="supersede itself"):
        told(memory, "The key is under the mat", supersedes=[first.id])
    second = told(memory, "The key is with Tom", LATER, supersedes=[first.id])
    with pytest.raises(FactError, match=f"was superseded by fact {second.id}; supersede that"):
        told(memory, "The key is with Eve", LATER, supersedes=[first.id])
    with pytest.raises(FactError, match="needs a text"):
        told(memory, "  ")


def test_a_forgotten_fact_is_listed_and_no_longer_recalled(memory: Memory) -> None:
    fact = told(memory, "The alarm code is 4711")
    forgotten = memory.forget(fact.id, at=LATER)
    assert (forgotten.text, forgotten.forgotten) == ("The alarm code is 4711", LATER)
    assert memory.recall("alarm code", 5) == memory.facts() == []
    assert memory.facts(every=True) == [forgotten]
    assert memory.forget(fact.id, at=LATER + timedelta(days=1)) == forgotten
    assert told(memory, "The alarm code is 4711", LATER).current, "and may be told again"


@pytest.mark.sqlite
def test_an_erased_text_is_in_no_file_of_the_store(memory: Memory, url: str) -> None:
    path = Path(url)
    for number in range(50):
        told(memory, f"Parcel {number} has come")
    fact = told(memory, "The password is swordfish")
    memory.facts()
    assert any(b"swordfish" in file.read_bytes() for file in path.parent.iterdir())
    erased = memory.forget(fact.id, at=LATER, erase=True)
    assert (erased.text, erased.source, erased.at) == ("", "chat", NOW)
    for file in path.parent.iterdir():
        assert b"swordfish" not in file.read_bytes(), file
    assert len(memory.recall("parcel", 99)) == 50


@pytest.mark.sqlite
def test_a_reader_that_keeps_erased_text_in_the_log_is_told_of(url: str) -> None:
    path = Path(url)
    with Memory(path, busy_timeout=0.05) as memory, Memory(path) as other:
        fact = told(memory, "The password is swordfish")
        with other._database.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM facts")
            with pytest.raises(StoreLockedError):
                memory.forget(fact.id, at=LATER, erase=True)
        memory.forget(fact.id, at=LATER, erase=True)
        assert b"swordfish" not in path.read_bytes()


def test_an_agent_sees_its_own_facts_and_the_shared_ones(memory: Memory) -> None:
    shared = told(memory, "The office closes at six")
    clerk = told(memory, "The office wants receipts by Friday", agent="clerk")
    cook = told(memory, "The office orders lunch at eleven", agent="cook")
    assert set(memory.recall("office", 9, agent="clerk")) == {shared, clerk}
    assert memory.facts(agent="cook") == [shared, cook]
    assert set(memory.recall("office", 9)) == {shared, clerk, cook}
    with pytest.raises(FactError, match=f"no fact {cook.id} that clerk may know"):
        memory.forget(cook.id, at=LATER, agent="clerk")
    with pytest.raises(FactError, match="that clerk may know"):
        told(memory, "Lunch is at noon", LATER, agent="clerk", supersedes=[cook.id])


def test_the_same_words_of_two_agents_or_episodes_are_two_facts(memory: Memory) -> None:
    whose = [{}, {"agent": "clerk"}, {"agent": "cook"}, {"agent": "cook", "episode": "monday"}]
    assert len({told(memory, "Done", **more).id for more in whose}) == 4


def test_two_processes_that_remember_at_once_lose_nothing(url: str) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, name]) for name in ("Ada", "Bob")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with Memory(url) as memory:
        assert len({fact.text for fact in memory.facts()}) == 200
        assert len(memory.recall("Bob", 200)) == 100
