"""When a schedule fires: pure functions of times, which are aware datetimes; given back in UTC.

Two kinds. `Cron` names times on the clocks of a zone. Where those are put forward, a time that they
skip fires at the moment of the change (as Debian's cron has it), together with what fires then
anyway; where they are put back, a time that they show twice fires at the first. `Every` counts a
fixed time from its anchor, whatever the clocks do.

`due` is all that a clock needs: what to fire now, given the last firing and the time. Its outcome
depends on nothing else, and the instants it gives are points of the schedule, never "now": who
fires each by its instant, and only then remembers how far it came, doubles and loses none, wherever
it is killed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter
from croniter.croniter import CroniterError

from .errors import ScheduleError

Missed = Literal["once", "skip", "all"]

GRACE = timedelta(minutes=1)
"""A firing that is late by no more than this is not missed."""

MOST = 1_000
"""Firings that are made good at once, where all are."""

DAY = timedelta(days=1)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DRAWN = re.compile(r"(?<![a-z])[rh](?![a-z])", re.IGNORECASE)
"""croniter's letters for a number drawn anew each time, and for one hashed from a name."""


@dataclass(frozen=True)
class Every:
    """`text` is a number and a unit: `30s`, `15m`, `2h`, `1d`."""

    text: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[1-9][0-9]{0,4}[smhd]", self.text):
            what = "is no span of time: write a whole number and s, m, h or d, such as 15m"
            raise ScheduleError(f"{self.text!r} {what}")

    def __str__(self) -> str:
        return f"every {self.text}"

    @property
    def period(self) -> timedelta:
        return timedelta(**{UNITS[self.text[-1]]: int(self.text[:-1])})

    def following(self, last: datetime) -> datetime:
        """The first firing after `last`, which is one itself, or the anchor."""
        return last.astimezone(UTC) + self.period

    def latest(self, last: datetime, now: datetime) -> datetime:
        """The last firing that is not after `now`; `last` where there is none since."""
        last = last.astimezone(UTC)
        return last + max((now - last) // self.period, 0) * self.period


@dataclass(frozen=True)
class Cron:
    """`text` has five fields: minute, hour, day of the month, month, day of the week; where neither
    of the days is `*`, either will do. `zone` is an IANA name; without it the machine's own
    clock counts."""

    text: str
    zone: str | None = None
    _zone: ZoneInfo | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        fields = self.text.split()
        if len(fields) != 5:
            what = f"has {len(fields)} fields, not five: minute, hour, day, month, day of the week"
            raise ScheduleError(f"{self.text!r} {what}")
        if DRAWN.search(self.text):
            raise ScheduleError(f"{self.text!r} leaves a time to chance")
        try:
            croniter(self.text, datetime(2000, 1, 1, tzinfo=UTC)).get_next(datetime)
        except CroniterError as error:
            raise ScheduleError(f"{self.text!r} names no time: {error}") from None
        if self.zone is not None:
            try:
                object.__setattr__(self, "_zone", ZoneInfo(self.zone))
            except (ZoneInfoNotFoundError, ValueError, OSError):
                what = "is no time zone: write one such as Europe/Berlin"
                raise ScheduleError(f"{self.zone!r} {what}") from None

    def __str__(self) -> str:
        zone = "" if self.zone is None else f" in {self.zone}"
        return f"cron {' '.join(self.text.split())}{zone}"

    def following(self, last: datetime) -> datetime:
        """The first firing after `last`."""
        last = last.astimezone(UTC)
        # What the clocks show never runs ahead of an instant that is not after `last`.
        walls = croniter(self.text, self._wall(last).replace(tzinfo=UTC))
        while (fires := self._instant(walls.get_next(datetime))) <= last:
            pass  # shown for the second time
        return fires

    def latest(self, last: datetime, now: datetime) -> datetime:
        """The last firing that is not after `now`; `last` where there is none since."""
        last, now = last.astimezone(UTC), now.astimezone(UTC)
        # The clocks may have shown more than they do now, where they were just put back.
        shown = max(self._wall(now), self._wall(now - DAY) + DAY)
        # croniter looks strictly before its start, and a minute is its finest step
        start = shown.replace(tzinfo=UTC) + timedelta(microseconds=1)
        walls = croniter(self.text, start)
        while True:
            fired = self._instant(walls.get_prev(datetime))
            if fired <= now:
                return max(fired, last)

    def _wall(self, instant: datetime) -> datetime:
        """What the clocks show, without a zone."""
        return instant.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _instant(self, wall: datetime) -> datetime:
        """When the clocks first show `wall`, or are put beyond it."""
        wall = wall.replace(tzinfo=self._zone, fold=0)
        instant = wall.astimezone(UTC)
        if self._wall(instant) == wall.replace(tzinfo=None):
            return instant
        # Skipped. PEP 495 reads it by the offset before the change (an instant after it), and with
        # fold=1 by the one behind the change (an instant before it); the change is between.
        before, behind = wall.replace(fold=1).astimezone(UTC), instant
        while behind - before > timedelta(seconds=1):
            middle = before + (behind - before) // 2 // timedelta(seconds=1) * timedelta(seconds=1)
            if self._wall(middle) < wall.replace(tzinfo=None):
                before = middle
            else:
                behind = middle
        return behind


Schedule = Cron | Every


@dataclass(frozen=True)
class Due:
    """What a schedule asks for now: the firings to make, oldest first; the first and last of those
    left out, where any were; and how far it has come then (the next `last`)."""

    firings: tuple[datetime, ...]
    left_out: tuple[datetime, datetime] | None
    last: datetime


def due(schedule: Schedule, last: datetime, now: datetime, missed: Missed) -> Due:
    """What is due between `last`, the last firing or the first sight, and `now`.

    `all` makes every firing, at most `MOST`; `once` makes one for all that are due, and gives it
    the time of the first; `skip` makes the latest, if that is no later than `GRACE`.
    """
    first = schedule.following(last)
    if first > now:
        return Due((), None, last)
    latest = schedule.latest(last, now)
    if missed == "skip":
        if now - latest <= GRACE:
            left_out = None if latest == first else (first, _before(schedule, last, latest))
            return Due((latest,), left_out, latest)
        return Due((), (first, latest), latest)
    firings = [first]
    while missed == "all" and firings[-1] < latest and len(firings) < MOST:
        firings.append(schedule.following(firings[-1]))
    if firings[-1] == latest:
        return Due(tuple(firings), None, latest)
    return Due(tuple(firings), (schedule.following(firings[-1]), latest), latest)


def _before(schedule: Schedule, last: datetime, firing: datetime) -> datetime:
    return schedule.latest(last, firing - timedelta(microseconds=1))
