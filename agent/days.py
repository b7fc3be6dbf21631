"""When days begin."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo


def midnight(day: date, zone: tzinfo | None = None) -> datetime:
    """When a day begins on a zone's clocks, or on the machine's own."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (local if zone is not None else local.astimezone()).astimezone(UTC)


def last_midnight(now: datetime) -> datetime:
    """When the day began that it is on the machine's clocks."""
    return midnight(now.astimezone().date())
