"""Compiled schemas on disk: found again by a new process, never wrong, never in the way."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from gesso.engine.constraint import store
from gesso.engine.constraint.document import Document
from gesso.engine.constraint.schema import Compiled, compile_schema
from gesso.engine.constraint.store import stored

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 9},
        "code": {"type": "string", "pattern": "b[0-9]+"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
    "required": ["name"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "WORTH_SECONDS", 0.0)
    return tmp_path / "gesso" / "schemas"


def compiled() -> Compiled:
    return compile_schema(Document(SCHEMA))


def refuse() -> Compiled:
    raise AssertionError("it was compiled again")


def test_what_was_compiled_once_is_read_again(folder: Path) -> None:
    first = stored("text", compiled)
    again = stored("text", refuse)
    assert (again.notes, again.checked) == (first.notes, first.checked)
    assert np.array_equal(again.dfa.table, first.dfa.table)
    assert np.array_equal(again.dfa.final, first.dfa.final)
    for one, other in zip(first.dfa.places, again.dfa.places, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (one.copy, one.count, one.inner) == (other.copy, other.count, other.inner)
            assert one.body.dfa.digest == other.body.dfa.digest
            assert (one.body.closing, one.body.counted) == (other.body.closing, other.body.counted)


def test_another_schema_or_another_version_is_not_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored("text", compiled)
    with pytest.raises(AssertionError, match="compiled again"):
        stored("other text", refuse)
    monkeypatch.setattr(store, "_version", lambda: "another")
    with pytest.raises(AssertionError, match="compiled again"):
        stored("text", refuse)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half of a file", None])
def test_a_damaged_file_is_told_of_and_made_anew(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: bytes | None
) -> None:
    stored("text", compiled)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-200] if damage is None else damage)
    with caplog.at_level(logging.WARNING, "gesso"):
        stored("text", compiled)
    assert f"{file}: not a compiled schema" in caplog.text
    stored("text", refuse)


def test_what_is_quick_to_compile_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WORTH_SECONDS", 60.0)
    stored("text", compiled)
    assert not folder.exists()


def test_the_files_that_were_last_used_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_FILES", 2)
    ages = iter(range(1, 100))

    def touch() -> None:
        for file in folder.iterdir():
            if file.stat().st_mtime > 1000:
                store.os.utime(file, (age := next(ages), age))

    for text in ("a", "b", "a", "c"):
        stored(text, compiled)
        touch()
    stored("a", refuse)
    stored("c", refuse)
    assert len(list(folder.iterdir())) == 2


def test_a_folder_that_cannot_be_written_to_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(store, "WORTH_SECONDS", 0.0)
    assert not stored("text", compiled).dfa.is_empty


def test_a_user_without_a_home_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert not stored("text", compiled).dfa.is_empty


def test_a_file_that_may_only_be_read_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: Path) -> None:
        raise PermissionError("Operation not permitted")

    stored("text", compiled)
    monkeypatch.setattr(store.os, "utime", refused)
    assert not stored("text", refuse).dfa.is_empty
    assert caplog.text == ""


def test_what_cannot_be_written_to_the_end_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(opened: IO[bytes], **_: Any) -> None:
        opened.write(b"PK")
        raise OSError("No space left on device")

    monkeypatch.setattr(store.np, "savez_compressed", full)
    assert not stored("text", compiled).dfa.is_empty
    assert list(folder.iterdir()) == []


def test_threads_that_keep_the_same_schema_do_not_meddle(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = compiled()
    started = threading.Barrier(8)

    def made() -> Compiled:
        started.wait()
        return first

    with ThreadPoolExecutor(8) as pool, caplog.at_level(logging.INFO, "gesso"):
        list(pool.map(lambda _: stored("text", made), range(8)))
        stored("text", refuse)
    assert caplog.text == ""
    assert len(list(folder.iterdir())) == 1


def test_a_new_process_finds_it(folder: Path) -> None:
    script = (
        "from gesso.engine.constraint import store, json_schema, schema, constraint\n"
        "store.WORTH_SECONDS = 0.0\n"
        f'print(json_schema({SCHEMA!r}).accepts(\'{{"name": "a"}}\'))\n'
    )
    fails = "constraint.compile_schema = None\n"
    first, *rest = script.splitlines(keepends=True)
    for lines in (script, first + fails + "".join(rest)):
        done = subprocess.run(
            [sys.executable, "-c", lines], capture_output=True, text=True, check=False
        )
        assert done.stdout == "True\n", done.stderr
