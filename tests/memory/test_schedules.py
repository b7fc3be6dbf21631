"""How far a schedule has come is kept, and never goes back."""

from datetime import UTC, datetime, timedelta

from gesso.memory import Store

NOW = datetime(2026, 11, 25, 9, 0, 0, 123457, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_schedule_is_remembered_over_restarts(url: str) -> None:
    with Store(url) as store:
        assert store.schedules.first_seen("clerk", "abc", at=NOW) == NOW
    with Store(url) as store:
        assert store.schedules.first_seen("clerk", "abc", at=NOW + HOUR) == NOW
        assert store.schedules.first_seen("other", "abc", at=NOW + HOUR) == NOW + HOUR
        store.schedules.fired("clerk", "abc", last=NOW + 3 * HOUR)
    with Store(url) as store:
        assert store.schedules.first_seen("clerk", "abc", at=NOW) == NOW + 3 * HOUR


def test_of_two_processes_the_one_that_is_behind_puts_nothing_back(url: str) -> None:
    with Store(url) as ahead, Store(url) as behind:
        ahead.schedules.fired("clerk", "abc", last=NOW + HOUR)
        behind.schedules.fired("clerk", "abc", last=NOW)
        assert behind.schedules.first_seen("clerk", "abc", at=NOW) == NOW + HOUR
