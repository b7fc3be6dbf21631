"""Files that land, and the runs they start: one each, over restarts."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gesso.agent import Runtime
from scripted import engine, requests, says
from waiting import wait_until, watching

FRONT = 'name: clerk\ntriggers: [{folder: inbox, pattern: "*.txt"}]'


def ended(runtime: Runtime) -> list[str]:
    return [run.input for run in runtime.store.runs(state="done")]


def test_a_file_starts_one_run_over_restarts(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent(FRONT)
    inbox = project / "inbox"
    (inbox / "there.txt").write_text("I was here first")
    (inbox / "other.md").write_text("not a receipt")
    (inbox / ".hidden.txt").write_text("nor this")
    scripted = engine(says("ok"))
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        with watching(runtime):
            wait_until(lambda: len(ended(runtime)) == 1)
            (inbox / "landed.txt").write_text("I came later")
            wait_until(lambda: len(ended(runtime)) == 2)
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        with watching(runtime):
            (inbox / "landed.txt").touch()
            (inbox / "last.txt").write_text("I came last")
            wait_until(lambda: len(ended(runtime)) == 3)
            (inbox / "last.txt").write_text("I have changed")
            wait_until(lambda: len(ended(runtime)) == 4)
        inputs = [run.input for run in runtime.store.runs()]
    names = ["there.txt", "landed.txt", "last.txt", "last.txt"]
    assert inputs == [f"New file: inbox/{name}" for name in names]
    assert len(requests(scripted)) == 4


def test_a_file_that_is_still_growing_is_left_alone(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent(FRONT)
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime), (project / "inbox" / "slow.txt").open("w") as slow:
            for n in range(15):
                slow.write(f"line {n}\n")
                slow.flush()
                assert not runtime.store.runs()
                time.sleep(0.1)
            slow.close()
            wait_until(lambda: len(runtime.store.runs()) == 1)


def test_a_file_that_changes_is_left_alone_where_the_trigger_says_so(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntriggers: [{folder: inbox, changed: false}]")
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime):
            (project / "inbox" / "a.txt").write_text("A")
            wait_until(lambda: len(runtime.store.runs()) == 1)
            (project / "inbox" / "a.txt").write_text("A and more")
            (project / "inbox" / "b.txt").write_text("B")
            wait_until(lambda: len(runtime.store.runs()) == 2)
        inputs = [run.input for run in runtime.store.runs()]
    assert inputs == ["New file: inbox/a.txt", "New file: inbox/b.txt"]


def test_the_folders_below_count_where_the_trigger_says_so(
    project: Path, write_agent: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    write_agent('name: clerk\ntriggers: [{folder: ., pattern: "*.txt", recursive: true}]')
    (project / "inbox" / "2026").mkdir()
    (project / "inbox" / "2026" / "there.txt").write_text("I was here first")
    (project / ".cache").mkdir()
    (project / ".cache" / "hidden.txt").write_text("not this")
    whole = tmp_path_factory.mktemp("elsewhere") / "whole"
    whole.mkdir()
    (whole / "moved.txt").write_text("I came with my folder")
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime):
            wait_until(lambda: len(runtime.store.runs()) == 1)
            whole.rename(project / "inbox" / "whole")
            (project / "inbox" / "2026" / "landed.txt").write_text("I came later")
            wait_until(lambda: len(runtime.store.runs()) == 3)
        inputs = {run.input.removeprefix("New file: inbox/") for run in runtime.store.runs()}
    assert inputs == {"2026/there.txt", "2026/landed.txt", "whole/moved.txt"}


def test_a_kill_between_store_and_queue_loses_no_file(
    project: Path, write_agent: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_agent(FRONT)
    path = project / "inbox" / "a.txt"
    path.write_text("A")
    scripted = engine(says("ok"))
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        with monkeypatch.context() as patch:
            patch.setattr(runtime._journal, "enqueue", lambda *_, **__: None)
            run = runtime.enqueue_document("clerk", path)
        assert runtime.enqueue_document("clerk", path) == run
        assert runtime.wait(run).state == "done"


def test_a_file_whose_run_the_journal_has_forgotten_is_not_read_again(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent(FRONT)
    path = project / "inbox" / "a.txt"
    path.write_text("A")
    scripted = engine(says("ok"))
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        run = runtime.enqueue_document("clerk", path)
        runtime.wait(run)
        while runtime._journal.tidy(datetime.now(UTC) + timedelta(seconds=1)) == 0:
            pass  # the work is done a moment after its last step
        assert runtime.enqueue_document("clerk", path) == run
        assert runtime.wait(run).state == "done"
    assert len(requests(scripted)) == 1


def test_a_file_that_cannot_be_queued_keeps_no_other_from_it(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent(FRONT)
    (project / "inbox" / os.fsdecode(b"a\xff.txt")).write_text("no name in UTF-8")
    with Runtime(project, engine=engine(says("ok"))) as runtime:
        runtime.load()
        with watching(runtime):
            (project / "inbox" / "b.txt").write_text("B")
            wait_until(lambda: len(runtime.store.runs()) == 1)
            (project / "inbox" / "c.txt").write_text("C")
            wait_until(lambda: len(runtime.store.runs()) == 2)


def test_a_folder_that_was_gone_is_watched_again(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent(FRONT)
    with Runtime(project, engine=engine(says("ok"))) as runtime:
        runtime.load()
        (project / "inbox").rmdir()
        with watching(runtime):
            time.sleep(0.2)
            (project / "inbox").mkdir()
            (project / "inbox" / "a.txt").write_text("A")
            wait_until(lambda: len(runtime.store.runs()) == 1)
