"""Document jobs from end to end: documents in, records out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gesso.agent import AgentError, extract
from gesso.agent.jobs.extract import plan_of, record_of, records_of
from gesso.agent.jobs.job import JobRunner, cancel_job, job_of, plan_job, state_of
from gesso.agent.jobs.record import Record, Span
from gesso.agent.jobs.schema import read_schema
from gesso.agent.state import state_of as state_folder
from gesso.engine import Engine, load_engine
from gesso.memory import Job, Store
from gesso.tools import DocumentError, find_documents
from pydantic import BaseModel
from waiting import opened

FIELDS = "company, date: date, total"
EXTRACT = [sys.executable, "-m", "gesso.agent", "extract", FIELDS, "in", "-o", "out.jsonl"]
EXTRACT += ["--progress", "none"]
Run = Callable[..., subprocess.CompletedProcess[str]]


class Receipt(BaseModel):
    company: str
    total: float


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("sketch")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    state_folder(tmp_path)
    with opened(tmp_path) as store:
        yield store


def planned(store: Store, engine: Engine, *names: str, batch: int = 8, seed: int = 0) -> Job:
    plan = plan_of(read_schema(FIELDS), engine, "sketch", batch=batch, seed=seed)
    return plan_job(store, plan, list(find_documents(names or ["in"])), engine=engine)


def test_every_document_becomes_a_record_in_its_place(documents: Path, engine: Engine) -> None:
    records = list(extract(FIELDS, ["in"], engine=engine))
    assert [record.source for record in records] == sorted(
        f"in/{p.name}" for p in documents.iterdir()
    )
    good = [record for record in records if record.error is None]
    assert len(good) == 7
    first = good[0]
    assert first.value is not None
    assert first.value["total"] == "2.50"
    text = (documents / "0.txt").read_text()
    shown = {
        pointer.removeprefix("/"): text[place.start : place.end]
        for pointer, place in first.spans.items()
        if isinstance(place, Span)
    }
    assert shown == first.value
    assert set(first.confidence) == {"/company", "/date", "/total"}
    assert all(0 <= sure <= 1 for sure in first.confidence.values())


def test_a_document_that_fails_is_one_failed_row(documents: Path, engine: Engine) -> None:
    records = {record.source: record for record in extract(FIELDS, ["in"], engine=engine)}
    broken = records["in/4-broken.pdf"]
    assert broken.value is None
    assert broken.error is not None
    assert "PDF" in broken.error


def test_a_model_gives_records_of_its_class(documents: Path, engine: Engine) -> None:
    records = list(extract(Receipt, ["in/1.txt", "in/2.txt"], engine=engine))
    values = [record.value for record in records]
    assert all(isinstance(value, Receipt) for value in values)
    assert [value.total for value in values if value is not None] == [3.5, 4.5]


def test_records_are_awaited_as_well(documents: Path, engine: Engine) -> None:
    async def gather() -> list[Record[dict[str, str]]]:
        return [record async for record in extract(FIELDS, ["in/1.txt", "in/2.txt"], engine=engine)]

    assert asyncio.run(gather()) == list(extract(FIELDS, ["in/1.txt", "in/2.txt"], engine=engine))


def test_how_they_are_put_together_changes_nothing(documents: Path, engine: Engine) -> None:
    alone = list(extract(FIELDS, ["in"], engine=engine, batch=1))
    assert list(extract(FIELDS, ["in"], engine=engine, batch=3)) == alone
    assert list(extract(FIELDS, ["in"], engine=engine, batch=100)) == alone


def test_what_is_wrong_is_said_before_any_work(documents: Path, engine: Engine) -> None:
    with pytest.raises(AgentError):
        extract("company date", ["in"], engine=engine)
    with pytest.raises(DocumentError):
        extract(FIELDS, ["nowhere"], engine=engine)


def test_a_document_is_not_paid_for_twice(documents: Path, engine: Engine, store: Store) -> None:
    (documents / "copy.txt").write_text((documents / "0.txt").read_text())
    state = state_folder(documents.parent)
    first = planned(store, engine)
    rows = list(JobRunner(store, engine, state).rows(first))
    assert len(list(store.ledger.entries(run=first.id))) == 7
    assert [row.source for row in rows if row.cached] == ["in/copy.txt"]
    second = planned(store, engine, seed=0)
    again = list(JobRunner(store, engine, state).rows(second))
    assert list(store.ledger.entries(run=second.id)) == []
    assert [row.value for row in again] == [row.value for row in rows]
    assert [row.confidence for row in again] == [row.confidence for row in rows]
    other = planned(store, engine, seed=1)
    list(JobRunner(store, engine, state).rows(other))
    assert len(list(store.ledger.entries(run=other.id))) == 7


def test_a_job_that_is_left_goes_on_where_it_was(
    documents: Path, engine: Engine, store: Store
) -> None:
    state = state_folder(documents.parent)
    job = planned(store, engine, batch=2)
    rows = JobRunner(store, engine, state).rows(job)
    for _ in range(3):
        next(rows)
    rows.close()
    assert state_of(job_of(store, job.id), state) == ("stopped", "interrupted")
    done = store.jobs.counts(job.id).done
    assert 0 < done < 7
    assert [row.number for row in JobRunner(store, engine, state).rows(job)] == list(range(8))
    assert state_of(job_of(store, job.id), state) == ("done", None)
    assert len(list(store.ledger.entries(run=job.id))) == 7


def test_only_what_failed_is_tried_again(documents: Path, engine: Engine, store: Store) -> None:
    state = state_folder(documents.parent)
    job = planned(store, engine)
    list(JobRunner(store, engine, state).rows(job))
    assert store.jobs.counts(job.id).failed == 1
    (documents / "4-broken.pdf").write_text("SHOP X LTD\n09/03/2026\nTOTAL 1.50\n")
    assert store.jobs.retry_failed(job.id) == 1
    rows = list(JobRunner(store, engine, state).rows(job))
    assert store.jobs.counts(job.id).failed == 0
    assert [row.value["total"] for row in rows if row.tries] == ["1.50"]
    assert len(list(store.ledger.entries(run=job.id))) == 8


def test_a_job_that_is_cancelled_is_over(documents: Path, engine: Engine, store: Store) -> None:
    state = state_folder(documents.parent)
    job = planned(store, engine, batch=1)
    rows = JobRunner(store, engine, state).rows(job)
    next(rows)
    assert cancel_job(store, job, state)  # as another process would, while this one is at work
    assert len(list(rows)) < 7
    assert state_of(job_of(store, job.id), state)[0] == "cancelled"
    with pytest.raises(AgentError, match="was cancelled"):
        next(JobRunner(store, engine, state).rows(job))


def test_two_processes_do_not_carry_out_the_same_job(
    documents: Path, engine: Engine, store: Store
) -> None:
    state = state_folder(documents.parent)
    job = planned(store, engine, batch=1)
    rows = JobRunner(store, engine, state).rows(job)
    next(rows)
    with pytest.raises(AgentError, match="another process carries it out"):
        next(JobRunner(store, engine, state).rows(job))
    rows.close()


def test_a_long_document_is_read_in_windows(
    documents: Path, engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "context_length", property(lambda _: 900))
    notes = "".join(f"A note about the {number}th thing.\n" for number in range(60))
    (documents / "0.txt").write_text(f"SHOP LONG LTD\n01/03/2026\n{notes}TOTAL 400.00\n")
    state = state_folder(documents.parent)
    job = planned(store, engine, "in/0.txt")
    (row,) = JobRunner(store, engine, state).rows(job)
    windows = sorted(entry.key for entry in store.ledger.entries(run=job.id))
    assert len(windows) > 1
    assert windows == [f"{job.id}/0/{number}" for number in range(len(windows))]
    assert row.state == "done"
    assert set(row.value) == {"company", "date", "total"}


def test_what_a_person_corrected_is_what_is_written(
    documents: Path, engine: Engine, store: Store
) -> None:
    state = state_folder(documents.parent)
    job = planned(store, engine, "in/0.txt")
    (row,) = JobRunner(store, engine, state).rows(job)
    store.jobs.correct(job.id, 0, "/total", "9.99", at=datetime.now(UTC))
    (record,) = records_of(store, job)
    assert record.value == {**row.value, "total": "9.99"}
    assert record.confidence["/total"] == 1.0
    assert record_of(row).value == row.value


def test_the_command_writes_records_and_says_what_failed(documents: Path, gesso: Run) -> None:
    done = gesso("extract", FIELDS, "in", "-o", "out.jsonl", "--progress", "plain")
    assert done.returncode == 1  # one document failed
    assert done.stdout == ""
    assert "8 documents, 7 records, 1 failed" in done.stderr
    assert "failed: 1 × is no whole PDF" in done.stderr
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["source"] for row in rows] == list(find_documents(["in"]))
    listed = json.loads(gesso("jobs", "list", "--json").stdout)
    assert [(job["state"], job["done"], job["failed"]) for job in listed] == [("done", 7, 1)]
    shown = json.loads(gesso("jobs", "show", listed[0]["id"], "--json").stdout)
    assert shown["failures"][0]["documents"] == 1
    assert gesso("jobs", "show", "no-such-job").returncode == 2


def test_json_is_all_there_is_on_standard_output(documents: Path, gesso: Run) -> None:
    done = gesso("extract", FIELDS, "in/0.txt", "-o", "out.csv", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary["counts"]["done"] == 1
    assert summary["output"] == str(Path("out.csv").resolve())
    lines = gesso("extract", FIELDS, "-", "--progress", "none", input="SHOP 9 LTD\nTOTAL 3.00\n")
    assert json.loads(lines.stdout)["value"]["total"] == "3.00"
    assert gesso("extract", FIELDS, "in", "--json").returncode == 2
    assert gesso("extract", FIELDS, "in", "-o", "out.xlsx").returncode == 2


def test_an_interrupted_job_leaves_its_part_and_says_how_to_go_on(
    documents: Path, gesso: Run
) -> None:
    whole = gesso("extract", FIELDS, "in", "-o", "whole.jsonl", "--project", "in")
    assert whole.returncode == 1
    begun = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gesso.agent",
            "extract",
            FIELDS,
            "in",
            "-o",
            "out.jsonl",
            "--batch",
            "1",
            "--progress",
            "none",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    until_some_are_done(Path())
    begun.send_signal(signal.SIGTERM)
    _, said = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert "goes on" in said
    assert not Path("out.jsonl").exists()
    part = Path("out.jsonl.partial").read_text()
    job = said.split(":")[0]
    assert gesso("jobs", "resume", job[:12]).returncode == 1
    assert Path("out.jsonl").read_text().startswith(part)
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert not Path("out.jsonl.partial").exists()


def test_a_job_that_is_killed_is_resumed_to_the_same_bytes(documents: Path, gesso: Run) -> None:
    gesso("extract", FIELDS, "in", "-o", "whole.jsonl", "--project", "in")
    begun = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gesso.agent",
            "extract",
            FIELDS,
            "in",
            "-o",
            "out.jsonl",
            "--batch",
            "2",
            "--progress",
            "none",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    until_some_are_done(Path())
    begun.kill()
    begun.wait()
    (job,) = json.loads(gesso("jobs", "list", "--json").stdout)
    assert (job["state"], job["reason"]) == ("stopped", "it was killed")
    gesso("jobs", "resume", job["id"])
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    with opened(Path()) as store:
        assert len({entry.key for entry in store.ledger.entries(run=job["id"])}) == 7


def until_some_are_done(project: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (project / ".gesso").exists():
            with opened(project) as store:
                jobs = store.jobs.all()
                if jobs and store.jobs.counts(jobs[0].id).done:
                    return
        time.sleep(0.02)
    raise AssertionError("no document was done within a minute")


def test_standard_input_is_kept_for_whoever_resumes(documents: Path, gesso: Run) -> None:
    text = (documents / "0.txt").read_text()
    done = gesso("extract", FIELDS, "-", "-o", "out.jsonl", "--progress", "none", input=text)
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert row["source"] == "-"
    assert row["value"]["total"] == "2.50"
    (job,) = json.loads(gesso("jobs", "list", "--json").stdout)
    kept = documents.parent / ".gesso" / "jobs" / f"{job['id']}.stdin"
    assert kept.read_text() == text
    again = gesso("jobs", "resume", job["id"], "--progress", "none", input="")
    assert again.returncode == 0
    assert json.loads(Path("out.jsonl").read_text()) == row
