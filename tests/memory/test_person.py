"""The inbox, the mail and the audit log: written once, decided once, never rewritten."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gesso.memory import Entry, InboxError, Letter, Run, RunState, Store, StoreError, Wanted

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as store:
        store.add_run(Run("r", "clerk", "manual", "hello", "queued", "sketch", NOW), {"n": 1})
        yield store


def ask(store: Store, call: str, part: int = 0) -> Entry:
    return store.inbox.add(
        call,
        part,
        "approval",
        "send({})",
        run="r",
        agent="clerk",
        reason="",
        arguments={},
        at=NOW,
    )


def test_an_entry_is_made_once_and_decided_once(store: Store) -> None:
    entry = ask(store, "r/0/0")
    assert ask(store, "r/0/0") == entry
    assert store.inbox.entries() == [entry]
    decided = store.inbox.decide(entry.id, "denied", note="no", at=NOW)
    assert (decided.verdict, decided.note, decided.decided) == ("denied", "no", NOW)
    assert store.inbox.entries() == []
    assert store.inbox.entries(open_only=False) == [decided]
    with pytest.raises(InboxError, match="entry 1 was denied already"):
        store.inbox.decide(entry.id, "approved", note="", at=NOW)
    with pytest.raises(InboxError, match="there is no entry 9"):
        store.inbox.decide(9, "approved", note="", at=NOW)


def test_a_call_is_asked_about_again_in_a_later_part(store: Store) -> None:
    first = ask(store, "r/0/0")
    assert ask(store, "r/0/0", part=1).id != first.id
    last = store.inbox.of_call("r/0/0")
    assert last is not None
    assert last.part == 1


def test_a_waiting_run_is_ready_when_all_is_said(store: Store) -> None:
    store.end_run("r", "waiting", reason="", at=NOW)
    entries = [ask(store, f"r/0/{n}") for n in range(2)]
    for entry in entries:
        assert store.ready_runs(NOW) == []
        store.inbox.decide(entry.id, "approved", note="", at=NOW)
    assert [run.id for run in store.ready_runs(NOW)] == ["r"]


def test_a_run_is_continued_once(store: Store) -> None:
    assert not store.continue_run("r", 0, {}), "it has not ended"
    store.end_run("r", "retrying", reason="", at=NOW, due=NOW + timedelta(seconds=9))
    assert store.ready_runs(NOW) == []
    assert [run.id for run in store.ready_runs(NOW + timedelta(seconds=9))] == ["r"]
    assert store.continue_run("r", 0, {"n": 2})
    assert not store.continue_run("r", 0, {"n": 3})
    run = store.run("r")
    assert run is not None
    assert (run.state, run.part, run.due, run.ended) == ("queued", 1, None, None)
    assert store.job("r") == {"n": 2}


@pytest.mark.parametrize(
    ("wanted", "ended", "state"),
    [
        ("cancel", "waiting", "cancelled"),
        ("cancel", "failed", "cancelled"),
        ("cancel", "done", "done"),
        ("pause", "waiting", "paused"),
        ("pause", "retrying", "paused"),
        ("pause", "stopped", "stopped"),
    ],
)
def test_what_the_person_wants_of_a_run_holds_though_its_part_ends_first(
    store: Store, wanted: Wanted, ended: RunState, state: RunState
) -> None:
    store.start_run("r", at=NOW)
    assert store.want("r", wanted, at=NOW)
    assert store.end_run("r", ended, reason="it waits", at=NOW, due=NOW) == state
    assert store.ready_runs(NOW) == []


def test_a_pause_takes_back_no_cancellation(store: Store) -> None:
    assert store.want("r", "cancel", at=NOW)
    assert not store.want("r", "pause", at=NOW)
    assert not store.resume("r")
    assert store.wanted("r") == "cancel"


def test_a_pause_that_has_not_come_is_taken_back(store: Store) -> None:
    assert store.want("r", "pause", at=NOW)
    assert store.resume("r")
    assert store.wanted("r") is None


def test_a_run_that_is_paused_just_as_it_is_to_go_on_stays_paused(store: Store) -> None:
    store.end_run("r", "retrying", reason="", at=NOW)
    assert store.want("r", "pause", at=NOW)
    assert not store.continue_run("r", 0, {})
    paused = store.run("r")
    assert paused is not None
    assert (paused.state, paused.reason) == ("paused", "by the person")


def test_nothing_of_a_cancelled_run_waits_for_the_person_but_what_it_told_them(
    store: Store,
) -> None:
    asked = ask(store, "r/0/0")
    message = store.inbox.add(
        "r/0/1", 0, "message", "hi", run="r", agent="clerk", reason="", arguments={}, at=NOW
    )
    store.end_run("r", "waiting", reason="", at=NOW)
    assert store.want("r", "cancel", at=NOW)
    assert store.inbox.entries() == [message]
    assert store.inbox.entries(open_only=False) == [asked, message]
    with pytest.raises(InboxError, match="entry 1: its run was cancelled"):
        store.inbox.decide(asked.id, "approved", note="", at=NOW)


def test_a_letter_is_posted_once_and_due_in_its_time(store: Store) -> None:
    later = Letter("later", "clerk", "person", "b", NOW + timedelta(hours=1))
    now = Letter("now", "clerk", "person", "a", NOW)
    assert store.mail.post(later)
    assert store.mail.post(now)
    assert not store.mail.post(now)
    assert store.mail.due(NOW) == [now]
    assert store.mail.waiting() == [now, later]
    store.mail.delivered("now", "clerk-1")
    assert store.mail.due(NOW) == []
    assert store.mail.due(later.due) == [later]


def test_the_audit_log_is_only_added_to(store: Store) -> None:
    def add(text: str) -> bool:
        return store.audit.add(
            "r/0/0", 0, "begun", run="r", agent="clerk", text=text, detail="", at=NOW
        )

    assert add("send({})")
    assert not add("something else"), "the first one counts"
    for statement in ("UPDATE audit SET text = 'x'", "DELETE FROM audit"):
        with (
            pytest.raises(StoreError, match="only added to"),
            store._database.write() as connection,
        ):
            connection.exec_driver_sql(statement)
    assert [event.text for event in store.audit.events(agent="clerk")] == ["send({})"]
    assert store.audit.events(agent="other") == []
    assert store.audit.find("r/0/0", "finished") is None


@pytest.mark.sqlite
def test_a_locked_store_takes_no_word(store: Store, tmp_path: Path) -> None:
    entry = ask(store, "r/0/0")
    with Store(tmp_path / "store.db", busy_timeout=0.05) as impatient:
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            impatient.inbox.decide(entry.id, "approved", note="", at=NOW)
        other.execute("ROLLBACK")
        other.close()
    assert store.inbox.entries() == [entry]
