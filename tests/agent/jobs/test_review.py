"""A person goes through what a model read, on the screen that a person has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gesso.agent.errors import ReviewError
from gesso.agent.jobs.extract import plan_of, records_of
from gesso.agent.jobs.job import JobRunner, plan_job
from gesso.agent.jobs.record import Absent, Span
from gesso.agent.jobs.review import Review
from gesso.agent.jobs.schema import read_schema
from gesso.agent.screens.review import ReviewScreen
from gesso.agent.state import state_of
from gesso.engine import Engine, load_engine
from gesso.memory import Job, Store
from gesso.tools import DocumentError, DocumentReader, find_documents
from textual.pilot import Pilot
from textual.widgets import Input, Label, TextArea
from waiting import opened

FIELDS = "company, date: date, total: number"
KEYS = {"/company", "/date", "/total"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("sketch")


@pytest.fixture
def store(documents: Path) -> Iterator[Store]:
    with opened(documents.parent) as store:
        yield store


@pytest.fixture
def job(documents: Path, engine: Engine, store: Store) -> Job:
    plan = plan_of(read_schema(FIELDS), engine, "sketch")
    job = plan_job(store, plan, find_documents(["in/0.txt", "in/1.txt"]), engine=engine)
    for _ in JobRunner(store, engine, state_of(documents.parent)).rows(job):
        pass
    return job


@pytest.fixture
def review(documents: Path, store: Store, job: Job) -> Iterator[Review]:
    with DocumentReader() as reader:
        yield Review(store, job, reader, state_of(documents.parent))


def test_the_least_sure_values_come_first(review: Review) -> None:
    sure = [reading.confidence for reading in review.readings(99)]
    assert len(sure) == 6
    assert sure == sorted(sure)


def test_what_was_confirmed_is_certain_and_does_not_come_again(
    store: Store, job: Job, review: Review
) -> None:
    first, *others = review.readings(99)
    review.confirm(first)
    assert review.readings(99) == others
    records = list(records_of(store, job))
    assert records[first.number].confidence[first.pointer] == 1.0


def test_a_corrected_value_stands_where_it_stands(store: Store, job: Job, review: Review) -> None:
    reading = next(one for one in review.readings(99) if (one.number, one.pointer) == (0, "/total"))
    assert review.correct(reading, "2.00") == 2.0
    record = next(iter(records_of(store, job)))
    assert record.value is not None
    assert record.value["total"] == 2.0
    span = record.spans["/total"]
    assert isinstance(span, Span)
    assert Path("in/0.txt").read_text()[span.start : span.end] == "2.00"
    review.correct(reading, "77")
    assert isinstance(next(iter(records_of(store, job))).spans["/total"], Absent)


def test_nothing_typed_means_that_the_document_does_not_say_it(
    store: Store, job: Job, review: Review
) -> None:
    reading = next(one for one in review.readings(99) if one.pointer == "/company")
    assert review.correct(reading, "  ") is None
    record = list(records_of(store, job))[reading.number]
    assert record.value is not None
    assert record.value["company"] is None


def test_what_the_schema_does_not_allow_is_not_taken(
    store: Store, job: Job, review: Review
) -> None:
    reading = next(one for one in review.readings(99) if one.pointer == "/total")
    with pytest.raises(ReviewError, match="/total"):
        review.correct(reading, "a lot")
    assert store.jobs.corrections(job.id) == []


def test_an_undone_correction_leaves_what_the_model_said(
    store: Store, job: Job, review: Review
) -> None:
    reading = review.readings(1)[0]
    before = list(records_of(store, job))
    review.correct(reading, "12")
    review.undo(reading)
    assert list(records_of(store, job)) == before


def test_a_document_that_has_changed_is_not_shown_as_what_was_read(
    documents: Path, review: Review
) -> None:
    (documents / "0.txt").write_text("another one")
    (documents / "1.txt").unlink()
    for reading in review.readings(99):
        with pytest.raises(DocumentError, match=r"has changed|No such file"):
            review.document(reading)


def seen(review: Review, body: Callable[[Pilot[Any]], Awaitable[None]]) -> int | None:
    """Do something on the screen, and how many values it says were seen to."""

    async def run() -> int | None:
        screen = ReviewScreen(review, "extract-1")
        async with screen.run_test(size=(140, 34)) as pilot:
            await pilot.pause()
            await body(pilot)
        return screen.return_value

    return asyncio.run(run())


def test_the_screen_marks_a_value_in_its_document(review: Review) -> None:
    reading = review.readings(1)[0]

    async def look(pilot: Pilot[Any]) -> None:
        app = pilot.app
        span = reading.span
        assert span is not None
        text = Path(reading.source).read_text()
        assert app.query_one(TextArea).selected_text == text[span["start"] : span["end"]]
        assert reading.source in str(app.query_one("#place", Label).render())
        assert "6 to go" in str(app.query_one("#head", Label).render())

    seen(review, look)


def test_keys_confirm_edit_and_undo(store: Store, job: Job, review: Review) -> None:
    first, second, *_ = review.readings(99)

    async def work(pilot: Pilot[Any]) -> None:
        await pilot.press("y", "e")
        value = pilot.app.query_one(Input)
        assert value.has_focus
        assert value.border_title == second.pointer[1:]
        value.value = "7"
        await pilot.press("enter")
        await pilot.press("y", "u", "q")

    assert seen(review, work) == 2
    corrected = {(one.number, one.pointer): one.value for one in store.jobs.corrections(job.id)}
    seven = 7 if second.pointer == "/total" else "7"
    assert corrected == {
        (first.number, first.pointer): first.value,
        (second.number, second.pointer): seven,
    }


def test_a_wrong_value_is_refused_on_the_screen(store: Store, job: Job, review: Review) -> None:
    async def work(pilot: Pilot[Any]) -> None:
        while pilot.app.query_one(Input).border_title != "total":
            await pilot.press("down")
        await pilot.press("e", "x", "enter")
        assert "/total" in str(pilot.app.query_one("#complaint", Label).render())
        assert pilot.app.query_one(Input).has_focus
        await pilot.press("escape", "q")

    assert seen(review, work) == 0
    assert store.jobs.corrections(job.id) == []


def test_all_seen_to_is_said_and_nothing_more_can_be_done(review: Review) -> None:
    async def work(pilot: Pilot[Any]) -> None:
        await pilot.press(*"yyyyyy")
        assert "Every value" in str(pilot.app.query_one("#place", Label).render())
        await pilot.press("y", "e", "n", "q")

    assert seen(review, work) == 6


def test_a_document_cannot_draw_on_the_screen(documents: Path, engine: Engine) -> None:
    (documents / "0.txt").write_text("SHOP \x1b[2J\x07LTD\n01/03/2026\n" + "Milk 2.00\n" * 20)
    with opened(documents.parent) as store, DocumentReader() as reader:
        plan = plan_of(read_schema(FIELDS), engine, "sketch")
        job = plan_job(store, plan, ["in/0.txt"], engine=engine)
        for _ in JobRunner(store, engine, state_of(documents.parent)).rows(job):
            pass

        async def look(pilot: Pilot[Any]) -> None:
            shown = pilot.app.query_one(TextArea).text
            assert "SHOP �[2J�LTD" in shown
            assert "\x1b" not in shown

        seen(Review(store, job, reader, state_of(documents.parent)), look)


def test_the_values_are_json_for_a_script(
    documents: Path, gesso: Callable[..., Any], store: Store, job: Job
) -> None:
    printed = json.loads(gesso("review", job.id[:9], "--json").stdout)
    assert {reading["pointer"] for reading in printed} == KEYS
    assert [one["confidence"] for one in printed] == sorted(one["confidence"] for one in printed)
    refused = gesso("review", job.id)
    assert refused.returncode == 2
    assert "--json prints the values" in refused.stderr
