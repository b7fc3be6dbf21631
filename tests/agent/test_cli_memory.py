"""`gesso memory`, as a person calls it."""

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gesso.memory import Memory
from postgresql import ON_POSTGRESQL
from waiting import opened

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that remembers two facts, one of them the clerk's."""
    (tmp_path / ".gesso").mkdir()
    with opened(tmp_path) as store:
        memory = store.memory
        memory.remember("Anna lives in Porto", source="chat", at=NOW)
        memory.remember("Brandt serviced the boiler", source="mail", at=NOW, agent="clerk")
    return tmp_path


@pytest.fixture
def command(command: Command, project: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Call `gesso memory …` in the project."""
    monkeypatch.chdir(project)
    return partial(command, "memory")


def shown(command: Command, *arguments: str) -> Any:
    code, out, err = command(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_search_prints_what_is_found_with_source_and_time(command: Command) -> None:
    (fact,) = shown(command, "search", "Where does Anna live?")
    assert (fact["id"], fact["text"], fact["source"]) == (1, "Anna lives in Porto", "chat")
    assert (fact["at"], fact["agent"]) == ("2026-11-23T20:00:00+00:00", None)
    assert shown(command, "search", "boiler", "--agent", "cook") == []
    assert len(shown(command, "search", "Anna Brandt", "-k", "1")) == 1
    code, out, _ = command("search", "boiler")
    assert code == 0
    for words in ("Brandt serviced the boiler", "2026-11-23 20:00", "mail", "clerk"):
        assert words in out


def test_an_edited_fact_keeps_its_old_words_in_the_whole_list(command: Command) -> None:
    assert shown(command, "edit", "2", "Kim serviced the boiler")["id"] == 3
    facts = shown(command, "list")["facts"]
    assert [fact["text"] for fact in facts] == ["Anna lives in Porto", "Kim serviced the boiler"]
    assert (facts[1]["source"], facts[1]["agent"]) == ("person", "clerk")
    every = shown(command, "list", "--all")["facts"]
    assert [fact["superseded_by"] for fact in every] == [None, 3, None]
    code, out, _ = command("list", "--all")
    assert code == 0
    assert "superseded by 3" in out


def test_a_block_is_set_and_shown(command: Command) -> None:
    block = shown(command, "edit", "person", "Called Ada", "--bound", "40")
    assert (block["label"], block["value"], block["bound"]) == ("person", "Called Ada", 40)
    command("edit", "task", "Filing", "--agent", "clerk")
    blocks = shown(command, "list", "--agent", "clerk")["blocks"]
    assert {block["label"]: block["value"] for block in blocks} == {
        "person": "Called Ada",
        "task": "Filing",
    }
    code, out, _ = command("list")
    assert code == 0
    assert "Called Ada" in out
    code, _, err = command("edit", "person", "x" * 41)
    assert (code, "more than its bound of 40" in err) == (2, True)


def test_a_forgotten_fact_is_no_longer_found_and_an_erased_one_has_no_text(
    command: Command, project: Path
) -> None:
    assert command("forget", "1")[:2] == (0, "fact 1 is forgotten\n")
    assert shown(command, "search", "Anna") == []
    (fact,) = shown(command, "forget", "2", "--erase")
    assert (fact["text"], fact["forgotten"] is None) == ("", False)
    code, out, _ = command("list", "--all")
    assert code == 0
    assert "forgotten" in out
    assert "erased" in out
    if not ON_POSTGRESQL:
        assert b"boiler" not in (project / ".gesso" / "store.db").read_bytes()


def test_forgetting_several_forgets_none_where_one_is_unknown(command: Command) -> None:
    code, _, err = command("forget", "1", "99")
    assert code == 2
    assert err == "error: there is no fact 99; `gesso memory list --all` shows them\n"
    assert len(shown(command, "list")["facts"]) == 2


@pytest.mark.sqlite
def test_an_export_goes_into_another_project(
    command: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, lines, _ = command("export")
    assert code == 0
    assert command("export", "all.jsonl")[0] == 0
    assert Path("all.jsonl").read_text() == lines
    other = project / "other"
    other.mkdir()
    counts = shown(command, "import", "all.jsonl", "--project", str(other))
    assert counts == {"facts": 2, "blocks": 0}
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    code, out, _ = command("import", "-", "--project", str(other))
    assert (code, out) == (0, "0 facts and 0 blocks were added\n")
    assert command("export", "--project", str(other))[1] == lines


@pytest.mark.sqlite
def test_a_backup_is_a_store_of_its_own(command: Command, project: Path) -> None:
    report = shown(command, "backup", "copy.db")
    assert report == {"path": "copy.db", "bytes": Path("copy.db").stat().st_size}
    with Memory("copy.db") as copy, Memory(project / ".gesso" / "store.db") as memory:
        assert copy.export() == memory.export()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "Missing command"),
        (("search", "a", "--project", "nowhere"), "nowhere: no such folder"),
        (("edit", "99", "a"), "there is no fact 99"),
        (("edit", "1", "a", "--agent", "clerk"), "are a block's"),
        (("edit", "a b", "c"), "is no label"),
        (("export", "."), "File exists"),
        (("import", "nowhere.jsonl"), "No such file"),
        (("import", "latin.jsonl"), "can't decode"),
        (("import", "bad.jsonl"), "line 1: no JSON"),
        pytest.param(("backup", "bad.jsonl"), "is there already", marks=pytest.mark.sqlite),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    command: Command, arguments: tuple[str, ...], complaint: str
) -> None:
    Path("bad.jsonl").write_text("{")
    Path("latin.jsonl").write_bytes(b"\xe9")
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1
