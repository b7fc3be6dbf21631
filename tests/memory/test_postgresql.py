"""The store in PostgreSQL: what it does as SQLite does it, and what it says where it cannot."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gesso.memory import (
    JobDocument,
    JobPlan,
    LedgerEntry,
    Memory,
    Run,
    Store,
    StoredMessage,
    StoreLockedError,
    StoreOpenError,
    StoreUnreachableError,
    TransferError,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgresql import PASSWORD, Server, programs

NOW = datetime(2026, 11, 25, 20, 0, 0, 123457, tzinfo=UTC)
RUN = Run("r1", "clerk", "manual", "hello", "queued", "sketch", NOW)
ENTRY = LedgerEntry("k", "r1", "clerk", "sketch", "cpu", NOW, 100, 40, 20, 1, 9, 0.25, 0.5)

SAID = (
    "Anna is allergic to walnuts",
    "The boiler was serviced by Brandt & Sons, and Anna paid",
    "José (jose@example.org) moved to Porto on 2024-05-01",
    "Invoices are paid on Fridays; read_file knows the e-mail",
    "Anna's invoices: 3.5 of them, see inbox/anna.txt or https://example.org/anna?x=1",
    "Die Bürgermeisterin sagte: „Anna, komm!“",
)


@pytest.fixture
def url(postgresql: Server) -> str:
    return postgresql.fresh()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as store:
        store.add_run(RUN)
        yield store


def test_texts_hold_what_sqlite_holds_but_no_nul(store: Store) -> None:
    strange = "é 😀 \u202e \x01 \x7f \n\t'\"\\ %s ; --"
    call = {"name": "t", "arguments": {"a": "x\0y", "b": "\ud800"}}
    message = StoredMessage(0, "tool", strange + "\0", (call,), "t\0")
    store.add_messages("r1", [message])
    store.add_messages("r1", [message])
    assert store.messages("r1") == [
        StoredMessage(0, "tool", strange + "\N{SYMBOL FOR NULL}", (call,), "t\N{SYMBOL FOR NULL}")
    ]


def test_whole_numbers_have_64_bits_and_sums_are_whole(store: Store) -> None:
    large = 3 << 40
    for key in "ab":
        store.ledger.add(replace(ENTRY, key=key, prompt_tokens=large, output_tokens=2**31))
    assert [entry.prompt_tokens for entry in store.ledger.entries()] == [large, large]
    (spend,) = store.ledger.spends()
    assert (spend.prompt_tokens, spend.output_tokens) == (2 * large, 2**32)
    assert type(spend.prompt_tokens) is int
    (day,) = store.ledger.spends([NOW - timedelta(hours=1), NOW + timedelta(hours=1)], apart=())
    assert json.dumps([day.generations, day.seconds]) == "[2, 1.5]"


def test_times_and_figures_come_back_to_the_last_bit(store: Store) -> None:
    sure = {"/a": 0.1 + 0.2, "/b": 1 / 3}
    store.jobs.add(
        replace(RUN, id="j"), JobPlan({}, "", "m", "", "", 0, None, 8, "/", None, True), "x"
    )
    document = JobDocument(0, "x", "done", value={"a": 1, "b": 2}, spans={}, confidence=sure)
    store.jobs.keep("j", [document], extracted=[], entries=[], at=NOW)
    assert [(one.pointer, one.confidence) for one in store.jobs.readings("j")] == sorted(
        sure.items()
    )
    assert store.run("r1") == RUN


def test_rows_come_in_the_order_of_code_points(store: Store) -> None:
    names = ["B", "a", "Z", "é", "_", "10", "9"]
    for name in names:
        store.memory.blocks.put(f"x{name}", "", at=NOW)
        store.ledger.add(replace(ENTRY, key=name))
    assert [block.label for block in store.memory.blocks.stored()] == sorted(f"x{n}" for n in names)
    assert [entry.key for entry in store.ledger.entries()] == sorted(names)


@pytest.mark.parametrize(
    "query",
    [
        "When do we pay an invoice?",
        "Anna",
        "JOSE",
        "josé",
        "read_file",
        "jose@example.org",
        "2024-05",
        "3.5",
        "inbox/anna.txt",
        "burgermeisterin",
        "anna invoices boiler",
        "the",
        "' OR 1=1 --",
        "!?",
    ],
)
def test_recall_finds_and_ranks_as_on_sqlite(query: str, both: tuple[Memory, Memory]) -> None:
    here, there = (memory.recall(query, 9, at=NOW) for memory in both)
    assert [fact.text for fact in here] == [fact.text for fact in there]


@pytest.fixture(scope="module")
def both(
    postgresql: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Memory, Memory]]:
    file = tmp_path_factory.mktemp("both") / "store.db"
    with Memory(postgresql.fresh()) as here, Memory(file) as there:
        for memory in (here, there):
            for number, text in enumerate(SAID):
                memory.remember(text, source="chat", at=NOW + timedelta(days=number))
        yield here, there


times = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@st.composite
def memories(draw: st.DrawFn) -> list[str]:
    """The lines of an export: facts that are current, superseded, forgotten or erased."""
    lines = [json.dumps({"gesso": "memory", "version": 1})]
    numbers = sorted(draw(st.sets(st.integers(1, 10**12), min_size=1, max_size=8)))
    for place, number in enumerate(numbers):
        at, forgotten, used = draw(times), draw(st.none() | times), draw(st.none() | times)
        fact = {
            "id": number,
            # A fact that is current is told once: their texts begin with their numbers.
            "text": f"{number} {draw(words)}" if forgotten is None else draw(words),
            "source": draw(words),
            "at": at.isoformat(),
            "agent": draw(st.none() | st.sampled_from(["clerk", "Ünal"])),
            "episode": draw(st.none() | st.sampled_from(["monday", "día"])),
            "superseded_by": draw(st.none() | st.sampled_from(numbers[place:])),
            "forgotten": None if forgotten is None else forgotten.isoformat(),
            "uses": draw(st.integers(0, 2**40)),
            "used": None if used is None else used.isoformat(),
        }
        if fact["superseded_by"] == number:
            fact["superseded_by"] = None
        lines.append(json.dumps({"fact": fact}))
    for label in sorted(draw(st.sets(st.sampled_from(["person", "task", "stil"])))):
        block = {"label": label, "description": draw(words), "value": draw(words), "bound": 40}
        block |= {"changed": draw(times).isoformat(), "outside": draw(st.booleans())}
        lines.append(json.dumps({"block": block | {"agent": draw(st.none() | st.just("clerk"))}}))
    return lines


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has its own stores
)
@given(lines=memories())
def test_a_memory_moves_from_sqlite_and_back_without_a_loss(
    lines: list[str], postgresql: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("move")
    with (
        Memory(folder / "from.db") as first,
        Memory(postgresql.fresh()) as second,
        Memory(folder / "to.db") as third,
    ):
        first.import_(lines)
        exported = first.export()
        second.import_(exported)
        assert second.export() == exported
        assert second.facts(every=True) == first.facts(every=True)
        third.import_(second.export())
        assert third.export() == exported
        new = second.remember("One more", source="chat", at=NOW)
        assert new.id == 1 + max(fact.id for fact in first.facts(every=True))


def test_what_waits_too_long_for_another_writer_says_so(store: Store, url: str) -> None:
    with Store(url, busy_timeout=0.05) as impatient, store._database.write(alone=True):
        with pytest.raises(StoreLockedError, match="another process holds what is to be written"):
            impatient.memory.remember("x", source="chat", at=NOW)
        impatient.add_run(replace(RUN, id="r2"))
    assert len(store.runs()) == 2


def test_a_run_that_ends_as_it_is_cancelled_is_cancelled(store: Store) -> None:
    """Whichever of the two comes first, the person's word is not lost."""
    for number in range(20):
        run = f"c{number}"
        store.add_run(replace(RUN, id=run))
        store.start_run(run, at=NOW)
        cancel = threading.Thread(target=store.want, args=(run, "cancel"), kwargs={"at": NOW})
        cancel.start()
        store.end_run(run, "waiting", reason="asks", at=NOW)
        cancel.join()
        ended = store.run(run)
        assert ended is not None
        assert ended.state == "cancelled"


def test_an_erased_text_is_in_no_table(store: Store, url: str, postgresql: Server) -> None:
    fact = store.memory.remember("The password is sw0rdfish", source="chat", at=NOW)
    store.memory.forget(fact.id, at=NOW, erase=True)
    database = url.rsplit("/", 1)[1]
    ((path,),) = postgresql.execute("SELECT pg_relation_filepath('facts')", database)
    postgresql.execute("CHECKPOINT")
    assert b"sw0rdfish" not in (postgresql.data / path).read_bytes()
    assert store.memory.recall("password", 9) == []


def test_a_backup_is_the_servers_to_make_and_holds_everything(
    store: Store, url: str, postgresql: Server, tmp_path: Path
) -> None:
    with pytest.raises(TransferError, match="is copied with its own tools: pg_dump"):
        store.memory.backup(tmp_path / "copy")
    store.memory.remember("Invoices are paid on Fridays", source="chat", at=NOW)
    store.ledger.add(ENTRY)
    environment = os.environ | {"PGPASSWORD": PASSWORD}
    server = ["-h", "127.0.0.1", "-p", str(postgresql.port), "-U", "gesso"]
    dump = [programs() / "pg_dump", *server, "--format=custom", "--file", tmp_path / "dump"]
    subprocess.run([*dump, url.rsplit("/", 1)[1]], env=environment, check=True, timeout=60)
    copy = postgresql.new()
    restore = [programs() / "pg_restore", *server, "--dbname", copy.rsplit("/", 1)[1]]
    subprocess.run([*restore, tmp_path / "dump"], env=environment, check=True, timeout=60)
    with Store(copy) as copied:
        assert copied.runs() == [RUN]
        assert list(copied.ledger.entries()) == [ENTRY]
        copied.ledger.add(replace(ENTRY, key="k2"))
        assert copied.ledger.spends()[0].generations == 2
        assert len(copied.memory.recall("invoice", 1)) == 1


def test_many_open_a_new_database_at_once(postgresql: Server) -> None:
    url, problems = postgresql.new(), list[BaseException]()

    def open_it() -> None:
        try:
            Store(url).close()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_what_cannot_be_opened_says_what_to_do_and_never_the_password(postgresql: Server) -> None:
    for url, complaint in (
        (postgresql.url("nowhere"), 'cannot be opened as a store: .*"nowhere" does not exist'),
        (postgresql.url("postgres", "h0rse"), "password authentication failed .* database_url"),
    ):
        with pytest.raises(StoreOpenError, match=complaint) as caught:
            Store(url)
        assert not {PASSWORD, "h0rse"} & set(str(caught.value).replace(":", " ").split())
    with pytest.raises(StoreUnreachableError, match=r"127\.0\.0\.1:1/x: cannot be reached"):
        Store("postgresql://me:h0rse@127.0.0.1:1/x")


def test_a_server_that_ends_our_sessions_is_found_again(
    store: Store, url: str, postgresql: Server
) -> None:
    database = url.rsplit("/", 1)[1]
    postgresql.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    )
    assert store.runs() == [RUN]
