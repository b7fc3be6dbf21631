"""When schedules fire: over changes of the clocks, and over time in which nothing was up."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from gesso.agent.errors import ScheduleError
from gesso.agent.schedule import GRACE, MOST, Cron, Due, Every, Missed, Schedule, due
from hypothesis import given, settings
from hypothesis import strategies as st

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)


def at(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def firings(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    found = [schedule.following(after)]
    while len(found) < count:
        found.append(schedule.following(found[-1]))
    return found


CHANGES = [
    *(at("2026-03-29 01:00"), at("2026-10-25 01:00"), at("2011-12-29 20:00", "Pacific/Apia")),
    *(at("2026-03-08 01:00", "America/New_York"), at("2026-11-01 00:00", "America/New_York")),
    *(at("2026-10-04 01:00", "Australia/Lord_Howe"), at("2026-04-05 01:00", "Australia/Lord_Howe")),
]
instants = st.datetimes(
    datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)
) | st.builds(
    lambda change, after: change + after,
    st.sampled_from(CHANGES),
    st.timedeltas(timedelta(hours=-2), timedelta(hours=4)),
)
crons = st.builds(
    lambda minute, hour, day, weekday, zone: Cron(f"{minute} {hour} {day} * {weekday}", zone),
    st.sampled_from(["0", "30", "*/7", "15,45", "*"]),
    st.sampled_from(["*", "2", "1-3", "*/6", "0"]),
    st.sampled_from(["*", "1", "29-31", "*/2"]),
    st.sampled_from(["*", "0", "1-5", "7"]),
    st.sampled_from(ZONES),
)
intervals = st.builds(lambda n, u: Every(f"{n}{u}"), st.integers(1, 90), st.sampled_from("smhd"))
schedules = crons | intervals


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-11-25 08:59:59", "2026-11-25 09:00"),  # a Wednesday
        ("2026-11-25 09:00", "2026-11-26 09:00"),
        ("2026-11-27 09:00", "2026-11-30 09:00"),
        ("2026-03-27 09:00", "2026-03-30 09:00"),  # the clocks are put forward in between
    ],
)
def test_nine_on_working_days(after: str, expected: str) -> None:
    assert Cron("0 9 * * 1-5", BERLIN).following(at(after)) == at(expected)


def test_a_time_that_does_not_exist_fires_once_when_the_clocks_change() -> None:
    fired = firings(Cron("30 2 * * *", BERLIN), at("2026-03-28 12:00"), 2)
    assert fired == [at("2026-03-29 03:00"), at("2026-03-30 02:30")]
    fired = firings(Cron("*/30 * * * *", BERLIN), at("2026-03-29 01:00"), 3)
    assert fired == [at(f"2026-03-29 {time}") for time in ("01:30", "03:00", "03:30")]


def test_a_time_that_exists_twice_fires_once_at_the_first() -> None:
    fired = firings(Cron("30 2 * * *", BERLIN), at("2026-10-24 12:00"), 2)
    assert fired == [at("2026-10-25 02:30"), at("2026-10-26 02:30")]
    second = at("2026-10-25 02:10") + timedelta(hours=1)
    assert Cron("30 2 * * *", BERLIN).following(second) == fired[1]
    assert Cron("30 2 * * *", BERLIN).latest(fired[0] - MINUTE, second) == fired[0]


@pytest.fixture
def berlin_is_home() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = BERLIN
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("berlin_is_home")
@pytest.mark.parametrize("day", ["2026-03-28 12:00", "2026-10-24 12:00", "2026-10-25 02:10"])
def test_without_a_zone_the_clock_of_the_machine_counts(day: str) -> None:
    here, there = Cron("*/30 1-3 * * *"), Cron("*/30 1-3 * * *", BERLIN)
    assert firings(here, at(day), 12) == firings(there, at(day), 12)
    assert here.latest(at(day), at(day) + timedelta(hours=15)) == there.latest(
        at(day), at(day) + timedelta(hours=15)
    )


def test_every_so_often_keeps_its_rhythm() -> None:
    anchor = at("2026-10-25 01:50")
    assert firings(Every("15m"), anchor, 3) == [anchor + n * 15 * MINUTE for n in (1, 2, 3)]
    late = due(Every("15m"), anchor, anchor + 100 * MINUTE, "once")
    assert late.last == anchor + 90 * MINUTE


@settings(deadline=None)
@given(schedules, instants)
def test_firings_strictly_increase(schedule: Schedule, after: datetime) -> None:
    found = firings(schedule, after, 40)
    assert found[0] > after
    assert all(one < other for one, other in pairwise(found))


@settings(deadline=None)
@given(crons, instants)
def test_a_cron_fires_at_times_that_it_names_or_at_a_change(cron: Cron, after: datetime) -> None:
    """Against the slow, obvious reading: what do the clocks show, minute for minute?"""
    fields = [
        set(_numbers(text, *bounds))
        for text, bounds in zip(
            cron.text.split(), [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)], strict=True
        )
    ]
    assert cron.zone is not None
    zone = ZoneInfo(cron.zone)
    minute = after.replace(second=0, microsecond=0)
    end = minute + timedelta(hours=30)
    named = set()
    while minute < end:
        minute += MINUTE
        shown = minute.astimezone(zone)
        skipped = shown.replace(tzinfo=None) - (minute - MINUTE).astimezone(zone).replace(
            tzinfo=None
        )
        walls = [shown.replace(tzinfo=None) - n * MINUTE for n in range(skipped // MINUTE)]
        if shown.fold == 0 and any(_fits(cron, fields, wall) for wall in walls):
            named.add(minute)
    fired = set()
    firing = cron.following(after)
    while firing <= end:
        fired.add(firing)
        firing = cron.following(firing)
    assert fired == {instant for instant in named if instant > after}


def _numbers(text: str, low: int, high: int) -> Iterator[int]:
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        start, stop = (low, high) if span == "*" else (int(first), int(last or first))
        yield from range(start, stop + 1, int(step or 1))


def _fits(cron: Cron, fields: list[set[int]], wall: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    days = [wall.day in day, {wall.isoweekday(), wall.isoweekday() % 7} & weekday != set()]
    _, _, day_text, _, weekday_text = cron.text.split()
    either = day_text != "*" and weekday_text != "*"
    return (
        wall.minute in minute
        and wall.hour in hour
        and wall.month in month
        and (any(days) if either else all(days))
    )


@settings(deadline=None)
@given(schedules, instants, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_the_latest_is_the_last_of_those_that_follow(
    schedule: Schedule, last: datetime, passed: timedelta
) -> None:
    latest = schedule.latest(last, last + passed)
    assert last <= latest <= last + passed
    assert schedule.following(latest) > last + passed
    assert latest == last or schedule.latest(last, latest - timedelta(microseconds=1)) < latest


@settings(deadline=None)
@given(
    schedules,
    instants,
    st.lists(st.timedeltas(timedelta(0), timedelta(hours=9)), max_size=12),
    st.data(),
)
def test_under_all_none_is_lost_or_doubled_wherever_it_restarts(
    schedule: Schedule, start: datetime, pauses: list[timedelta], data: st.DataObject
) -> None:
    """A kill may come behind any firing, before it is written down how far it came: then those are
    made again, and their instants, which are their keys, must be the same."""
    now, last, made = start, start, list[datetime]()
    for pause in pauses:
        now += pause
        while (asked := due(schedule, last, now, "all")).firings:
            killed = data.draw(st.integers(0, len(asked.firings)))
            made += asked.firings[:killed]
            if killed < len(asked.firings) or data.draw(st.booleans()):
                asked = due(schedule, last, now, "all")  # the next process, from the same `last`
                made += asked.firings
            last = asked.last
            if asked.left_out:
                break
        else:
            continue
        break
    keys = sorted(set(made))
    assert keys == firings(schedule, start, len(keys)) if keys else not made
    assert not keys or schedule.following(keys[-1]) > now or len(keys) >= MOST


@settings(deadline=None)
@given(schedules, instants, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_once_and_skip_make_one_at_most_and_say_what_they_leave_out(
    schedule: Schedule, last: datetime, passed: timedelta
) -> None:
    now = last + passed
    once, skip = (due(schedule, last, now, policy) for policy in ("once", "skip"))
    first, latest = schedule.following(last), schedule.latest(last, now)
    assert once.last == skip.last == latest
    if first > now:
        assert once == skip == Due((), None, last)
        return
    assert once.firings == (first,)
    assert skip.firings == ((latest,) if now - latest <= GRACE else ())
    assert (once.left_out is None) == (first == latest)
    assert (skip.left_out is None) == (skip.firings == (first,))
    for asked in (once, skip):
        assert due(schedule, asked.last, now, "all").firings == ()


@pytest.mark.parametrize("missed", ["once", "skip", "all"])
def test_years_are_made_good_in_a_moment(missed: Missed) -> None:
    began = time.monotonic()
    for schedule in (Every("1s"), Cron("* * * * *", BERLIN)):
        asked = due(schedule, at("2020-01-01"), at("2026-01-01"), missed)
        assert len(asked.firings) == {"once": 1, "skip": 1, "all": MOST}[missed]
        assert asked.last == at("2026-01-01")
        assert asked.left_out is not None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0 9 * *", "has 4 fields, not five: minute, hour, "),
        ("@daily", "has 1 fields"),
        ("0 9 * * * *", "has 6 fields"),
        ("0 0 30 2 *", "names no time"),
        ("61 * * * *", "names no time: .*out of range"),
        ("R * * * *", "leaves a time to chance"),
        ("*/5,h(0-9) * * * *", "leaves a time to chance"),
        ("0 9 * * someday", "names no time"),
    ],
)
def test_a_cron_that_cannot_be_read(text: str, complaint: str) -> None:
    with pytest.raises(ScheduleError, match=complaint):
        Cron(text)


@pytest.mark.parametrize("text", ["", "0s", "15", "m", "1.5h", "1w", "-1m", "15 m", "999999d"])
def test_a_span_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ScheduleError, match="is no span of time"):
        Every(text)


@pytest.mark.parametrize("zone", ["Berlin", "../etc/passwd", "/etc/localtime", ""])
def test_a_zone_that_nobody_knows(zone: str) -> None:
    with pytest.raises(ScheduleError, match="is no time zone"):
        Cron("0 9 * * *", zone)
