"""Output tokens a second: now, today, and sustained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ...memory import Store, Work, quarter_of
from ..days import last_midnight
from .report import work_of

NOW = timedelta(seconds=60)
SUSTAINED = timedelta(days=1)
SPAN = timedelta(days=2)


@dataclass(frozen=True)
class Throughput:
    """`now` is over the last minute, `sustained` over the last day (or since the first generation),
    both by the clock; `today` is over the seconds that were spent generating since midnight."""

    now: float
    today: float | None
    sustained: float | None


def throughput_of(store: Store, now: datetime) -> Throughput:
    def work(since: datetime) -> Work:
        return work_of(store.ledger.spends([since, since + SPAN], apart=()))

    minute = work(now - NOW).output_tokens / NOW.total_seconds()
    today = work(last_midnight(now)).output_tokens_per_second
    began = store.ledger.began()
    sustained = None
    if began is not None:
        since = max(began, quarter_of(now - SUSTAINED))
        gone = (now - since).total_seconds()
        sustained = work(quarter_of(since)).output_tokens / gone if gone > 0 else None
    return Throughput(minute, today, sustained)
