"""Export, import and backup: nothing is lost on the way, nothing doubled, and running goes on."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gesso.memory import Memory, StoreError, TransferError
from postgresql import Address

NOW = datetime(2026, 11, 23, 20, 0, 0, 123457, tzinfo=UTC)
LATER = NOW + timedelta(hours=12)


@pytest.fixture
def memory(url: str) -> Iterator[Memory]:
    """Every kind of fact and block that there is."""
    with Memory(url) as memory:
        porto = memory.remember("Anna lives in Porto", source="chat", at=NOW)
        lisbon = memory.remember(
            "Anna lives in Lisbon", source="Ünal", at=LATER, supersedes=[porto.id], agent="clerk"
        )
        memory.remember("Anna lives in Porto", source="chat", at=LATER, supersedes=[lisbon.id])
        code = memory.remember("The code\nis 4711", source="chat", at=NOW, episode="monday")
        memory.forget(code.id, at=LATER)
        password = memory.remember("The password is swordfish", source="chat", at=NOW)
        memory.forget(password.id, at=LATER, erase=True)
        memory.count_use(memory.facts(), at=LATER)
        memory.blocks.put("style", "Short", at=NOW, description="How to write", bound=40)
        memory.blocks.append("task", "Receipts", at=LATER, agent="clerk")
        yield memory


def test_a_round_trip_loses_nothing(memory: Memory, address: Address) -> None:
    lines = memory.export()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    with Memory(address("other")) as other:
        counts = other.import_(lines)
        assert (counts.facts, counts.blocks) == (5, 2)
        assert other.facts(every=True) == memory.facts(every=True)
        assert other.blocks.stored() == memory.blocks.stored()
        assert other.export() == lines
        assert other.recall("Where does Anna live?", 5) == memory.recall("Where does Anna live?", 5)


def test_an_import_may_be_repeated(memory: Memory) -> None:
    before = memory.export()
    counts = memory.import_(before)
    assert (counts.facts, counts.blocks) == (0, 0)
    assert memory.export() == before


def test_an_import_beside_other_facts_renumbers_them(memory: Memory, address: Address) -> None:
    with Memory(address("other")) as other:
        own = other.remember("Tom lives in Faro", source="chat", at=NOW)
        other.import_(memory.export())
        imported = other.facts(every=True)
        assert len(imported) == 6
        assert {fact.text for fact in other.facts()} == {own.text, "Anna lives in Porto"}
        (old,) = [fact for fact in imported if fact.text == "Anna lives in Lisbon"]
        assert old.superseded_by is not None
        assert other.fact(old.superseded_by).text == "Anna lives in Porto"


def test_what_was_forgotten_here_does_not_come_back(memory: Memory) -> None:
    lines = memory.export()
    (fact,) = memory.facts()
    memory.forget(fact.id, at=LATER)
    memory.import_(lines)
    assert memory.facts() == []


def test_what_was_superseded_elsewhere_is_superseded_here(memory: Memory, address: Address) -> None:
    with Memory(address("other")) as other:
        other.import_(memory.export())
        (fact,) = memory.facts()
        memory.remember("Anna lives in Faro", source="chat", at=LATER, supersedes=[fact.id])
        assert other.import_(memory.export()).facts == 1
        assert [fact.text for fact in other.facts()] == ["Anna lives in Faro"]


def test_of_two_blocks_the_one_changed_last_stays(memory: Memory, address: Address) -> None:
    with Memory(address("other")) as other:
        other.blocks.put("style", "Long", at=LATER)
        other.blocks.put("task", "Lunch", at=NOW, agent="clerk")
        assert other.import_(memory.export()).blocks == 1
        assert {block.label: block.value for block in other.blocks.of("clerk")} == {
            "person": "",
            "style": "Long",
            "task": "Receipts",
        }


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "the export is empty"),
        (['{"fact": {}}'], "line 1: no export of a memory"),
        (["HEADER", "{"], "line 2: no JSON"),
        (["HEADER", "[]"], "line 2: neither a fact nor a block"),
        (["HEADER", '{"fact": {"id": 1}}'], "line 2: text: Field required"),
        (["HEADER", "FACT", "FACT"], "line 3: a second fact 1"),
        (["HEADER", '{"fact": {"id": 1, "text": "a", "source": "b", "at": "2026-01-01T00:00:00"}}'],
         "line 2: a time without its zone"),
        (["HEADER", "DANGLING"], "fact 2: what superseded it, 9, is not in the export"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused_whole(
    address: Address, lines: list[str], complaint: str
) -> None:
    said = '"text": "a", "source": "b", "at": "2026-01-01T00:00:00Z"'
    known = {
        "HEADER": '{"gesso": "memory", "version": 1}',
        "FACT": f'{{"fact": {{"id": 1, {said}}}}}',
        "DANGLING": f'{{"fact": {{"id": 2, {said}, "superseded_by": 9}}}}',
    }
    with Memory(address("other")) as other:
        with pytest.raises(TransferError, match=complaint):
            other.import_([known.get(line, line) for line in lines])
        assert other.facts(every=True) == []


@pytest.mark.sqlite
def test_a_backup_is_a_store_with_everything_in_it(memory: Memory, tmp_path: Path) -> None:
    memory.backup(tmp_path / "copy.db")
    with Memory(tmp_path / "copy.db") as copy:
        assert copy.export() == memory.export()
    with pytest.raises(TransferError, match=r"copy\.db: is there already"):
        memory.backup(tmp_path / "copy.db")
    with pytest.raises(StoreError, match="unable to open"):
        memory.backup(tmp_path / "no" / "folder.db")
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.sqlite
def test_a_backup_is_whole_while_others_write(memory: Memory, tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        with Memory(tmp_path / "store.db") as other:
            number = 0
            while not done.is_set():
                other.remember(f"Bird {number}", source="window", at=NOW)
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            memory.backup(tmp_path / f"copy{number}.db")
    finally:
        done.set()
        writer.join()
    counts = []
    for number in range(5):
        with sqlite3.connect(tmp_path / f"copy{number}.db") as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        copy.close()
        with Memory(tmp_path / f"copy{number}.db") as kept:
            birds = [fact for fact in kept.facts() if fact.source == "window"]
            assert len(kept.recall("bird", 9)) == min(9, len(birds))
            counts.append(len(birds))
    assert counts == sorted(counts)
