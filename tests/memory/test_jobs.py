"""Document jobs in the store: the rows are the checkpoint, and what the model said stays."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from gesso.memory import (
    Extraction,
    JobCounts,
    JobDocument,
    JobError,
    JobPlan,
    LedgerEntry,
    Run,
    Store,
)

NOW = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
RUN = Run("e1", "extract", "job", "three documents", "queued", "sketch", NOW)
PLAN = JobPlan(
    schema={"type": "object"},
    schema_digest="abc",
    model="sketch",
    weights="def",
    instructions="Read.",
    seed=1,
    merge="first",
    batch=8,
    folder="/papers",
    output="/papers/out.jsonl",
)
ENTRY = LedgerEntry("e1/0/0", "e1", "extract", "sketch", "cpu", NOW, 100, 40, 20, 1, 9, 0.25, 0.5)
DONE = JobDocument(
    0,
    "a.txt",
    state="done",
    digest="0a",
    value={"total": 1.5, "lines": [{"name": "x/y"}, {"name": None}]},
    spans={"/total": {"start": 0, "end": 3, "page": None}, "/lines/1/name": {"absent": "null"}},
    confidence={"/total": 0.5, "/lines/0/name": 0.25, "/lines/1/name": 0.5},
)
FAILED = JobDocument(1, "b.txt", state="failed", digest="0b", error="it is empty")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as store:
        yield store


@pytest.fixture
def kept(store: Store) -> Store:
    """A store with a job of three documents: one is done, one failed, one waits."""
    store.jobs.add(RUN, PLAN, ["a.txt", "b.txt", "c.txt"])
    assert store.jobs.begin("e1", at=NOW)
    found = Extraction("key", DONE.value, DONE.confidence)
    store.jobs.keep("e1", [DONE, FAILED], extracted=[found], entries=[ENTRY], at=NOW)
    return store


def test_a_job_is_a_run_with_a_plan_and_numbered_documents(store: Store) -> None:
    added = store.jobs.add(RUN, PLAN, iter(["a.txt", "b.txt"]))
    assert (added.id, added.documents) == ("e1", 2)
    assert store.jobs.get("e1") == added
    assert store.jobs.all() == [added]
    assert store.run("e1") == RUN
    assert store.jobs.get("e2") is None
    assert list(store.jobs.documents("e1")) == [JobDocument(0, "a.txt"), JobDocument(1, "b.txt")]


def test_a_job_whose_planning_was_cut_short_says_so(store: Store) -> None:
    def sources() -> Iterator[str]:
        yield "a.txt"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.jobs.add(RUN, PLAN, sources())
    job = store.jobs.get("e1")
    assert job is not None
    assert job.documents is None


def test_many_documents_are_read_page_by_page(store: Store) -> None:
    store.jobs.add(RUN, PLAN, (f"{n}.txt" for n in range(1203)))
    assert [document.number for document in store.jobs.documents("e1")] == list(range(1203))
    assert [document.number for document in store.jobs.page("e1", first=1200)] == [1200, 1201, 1202]
    assert store.jobs.counts("e1") == JobCounts(waiting=1203)


def test_what_is_kept_stands_with_what_it_cost(kept: Store) -> None:
    assert list(kept.jobs.documents("e1")) == [DONE, FAILED, JobDocument(2, "c.txt")]
    assert list(kept.jobs.documents("e1", state="waiting")) == [JobDocument(2, "c.txt")]
    assert kept.jobs.counts("e1") == JobCounts(waiting=1, done=1, failed=1)
    assert kept.jobs.failures("e1") == [("it is empty", 1)]
    assert kept.jobs.absent("e1") == [("/lines/1/name", 1)]
    assert list(kept.ledger.entries(run="e1")) == [ENTRY]
    assert kept.jobs.extracted(["key", "other"]) == {
        "key": Extraction("key", DONE.value, DONE.confidence)
    }


def test_the_first_write_of_a_row_counts(kept: Store) -> None:
    again = replace(DONE, value={"total": 2.0})
    found = Extraction("key", {"total": 2.0}, {})
    twice = replace(ENTRY, output_tokens=99)
    kept.jobs.keep("e1", [again], extracted=[found], entries=[twice], at=LATER)
    assert kept.jobs.document("e1", 0) == DONE
    assert kept.jobs.extracted(["key"])["key"].value == DONE.value
    assert list(kept.ledger.entries(run="e1")) == [ENTRY]


def test_what_failed_waits_again_when_it_is_asked_for(kept: Store) -> None:
    assert kept.jobs.retry_failed("e1") == 1
    assert kept.jobs.document("e1", 1) == replace(FAILED, state="waiting", tries=1, error=None)
    assert kept.jobs.retry_failed("e1") == 0


def test_a_job_begins_again_from_any_end_but_a_cancellation(kept: Store) -> None:
    kept.end_run("e1", "stopped", reason="interrupted", at=LATER)
    assert kept.jobs.begin("e1", at=LATER)
    run = kept.run("e1")
    assert run is not None
    assert (run.state, run.started, run.ended, run.reason) == ("running", NOW, None, None)
    kept.end_run("e1", "stopped", reason="interrupted", at=LATER)
    assert kept.jobs.cancel("e1", reason="by the person", at=LATER)
    assert not kept.jobs.begin("e1", at=LATER)
    assert not kept.jobs.cancel("e1", reason="by the person", at=LATER)


def test_the_least_sure_values_come_first(kept: Store) -> None:
    readings = kept.jobs.readings("e1")
    assert [(reading.pointer, reading.value, reading.confidence) for reading in readings] == [
        ("/lines/0/name", "x/y", 0.25),
        ("/lines/1/name", None, 0.5),
        ("/total", 1.5, 0.5),
    ]
    assert readings[2].span == {"start": 0, "end": 3, "page": None}
    assert kept.jobs.readings("e1", first=1, count=1) == readings[1:2]


def test_a_correction_stands_beside_what_the_model_said(kept: Store) -> None:
    kept.jobs.correct("e1", 0, "/total", 2.5, at=NOW)
    kept.jobs.correct("e1", 0, "/total", None, at=LATER)
    (correction,) = kept.jobs.corrections("e1")
    assert (correction.pointer, correction.value, correction.at) == ("/total", None, LATER)
    assert kept.jobs.corrections("e1", first=1) == []
    assert kept.jobs.corrections("e1", last=0) == [correction]
    assert kept.jobs.document("e1", 0) == DONE
    assert "/total" not in [reading.pointer for reading in kept.jobs.readings("e1")]


def test_only_a_value_that_is_there_can_be_corrected(kept: Store) -> None:
    for number, pointer, complaint in (
        (0, "/lines/2/name", "has no such value"),
        (0, "/total/x", "has no such value"),
        (1, "/total", "it is failed"),
        (3, "/total", "has no document 3"),
    ):
        with pytest.raises(JobError, match=complaint):
            kept.jobs.correct("e1", number, pointer, 1, at=NOW)
