"""The ledger: only added to, and its sums are exact however they are asked for."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gesso.memory import (
    PROMPT_EDGES,
    JobPlan,
    LedgerEntry,
    Run,
    Spend,
    Store,
    StoreError,
    spends_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgresql import Address
from sqlalchemy import text

START = datetime(2026, 11, 1, tzinfo=UTC)
ENTRY = LedgerEntry("k", "r1", "clerk", "sketch", "cpu", START, 100, 40, 20, 1, 9, 0.25, 0.5)
JOB = Run("job1", "extract", "job", "go", "done", "sketch", START)
PLAN = JobPlan({}, "", "sketch", "", "", 0, None, 8, "/", None, True)

sizes = st.sampled_from([0, 1, *PROMPT_EDGES, *(edge + 1 for edge in PROMPT_EDGES)])
entries = st.builds(
    LedgerEntry,
    key=st.just(""),
    run=st.sampled_from(["r1", "r2", "job1"]),
    agent=st.sampled_from(["clerk", "extract"]),
    model=st.sampled_from(["sketch", "large"]),
    device=st.just("cpu"),
    at=st.integers(0, 7200 * 1000).map(lambda ms: START + timedelta(milliseconds=ms)),
    prompt_tokens=sizes,
    cached_tokens=st.integers(0, 50),
    output_tokens=st.integers(0, 500),
    canvases=st.integers(0, 4),
    denoising_steps=st.integers(0, 40),
    prefill_seconds=st.integers(0, 64).map(lambda n: n / 8),  # so that sums are exact
    denoising_seconds=st.integers(0, 64).map(lambda n: n / 8),
    joules=st.integers(0, 800).map(lambda n: n / 4),
    energy=st.sampled_from(["measured", "estimated", "unknown"]),
).map(lambda e: replace(e, joules=None) if e.energy == "unknown" else e)
ledgers = st.lists(entries, max_size=25).map(
    lambda found: [replace(entry, key=str(n)) for n, entry in enumerate(found)]
)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with filled(url, []) as store:
        yield store


def filled(url: str, entries: Sequence[LedgerEntry]) -> Store:
    store = Store(url)
    for name in ("r1", "r2"):
        store.add_run(Run(name, "clerk", "manual", "go", "done", "sketch", START))
    store.jobs.add(JOB, PLAN, [])
    for entry in entries:
        store.ledger.add(entry)
    return store


def by_hand(
    entries: Sequence[LedgerEntry], cuts: Sequence[datetime] | None, apart: Sequence[str]
) -> list[tuple[Any, ...]]:
    """The same sums, entry by entry."""
    sums: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0] * 11)
    for entry, spend in zip(entries, spends_of(entries), strict=True):
        start = spend.start
        if cuts is not None:
            before = [cut for cut in cuts if cut <= entry.at]
            if not before or entry.at >= cuts[-1]:
                continue
            start = before[-1]
        names = {**asdict(spend), "job": "job1" if entry.run == "job1" else ""}
        known = [names[name] if name in apart else "" for name in ("agent", "job", "model")]
        key = (start, *known, spend.prompt_bucket)
        sums[key] = [a + b for a, b in zip(sums[key], astuple(spend)[:11], strict=True)]
    return sorted((*key, *row) for key, row in sums.items())


def plain(spends: Sequence[Spend]) -> list[tuple[Any, ...]]:
    return sorted(
        (s.start, s.agent, s.job, s.model, s.prompt_bucket, *astuple(s)[:11]) for s in spends
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ledgers, st.lists(st.integers(0, 9), min_size=2, max_size=5, unique=True), st.booleans())
def test_sums_are_those_of_the_entries(
    address: Address,
    entries: list[LedgerEntry],
    quarters: list[int],
    even: bool,
) -> None:
    cuts = [START + timedelta(minutes=15 * n, seconds=0 if even else 7) for n in sorted(quarters)]
    with filled(address(uuid.uuid4().hex), entries) as store:
        for apart in (("agent", "job", "model"), ("job",), ()):
            for cut in (cuts, None):
                found = store.ledger.spends(cut, apart=apart)
                assert plain(found) == by_hand(entries, cut, apart)
        mine = [entry for entry in entries if entry.run == "r1"]
        assert plain(store.ledger.spends(run="r1")) == by_hand(mine, None, ("agent", "model"))
        small = [entry for entry in entries if entry.prompt_tokens <= 50]
        (below, *_) = [*store.ledger.spends(edges=(50,), apart=()), None]
        if small and below is not None and below.prompt_bucket == 0:
            assert below.generations <= len(small)
        assert sorted(e.key for e in store.ledger.entries()) == sorted(e.key for e in entries)


def test_a_run_that_is_repeated_counts_once(store: Store) -> None:
    store.ledger.add(ENTRY)
    store.ledger.add(replace(ENTRY, output_tokens=999))
    (spend,) = store.ledger.spends()
    assert (spend.generations, spend.output_tokens) == (1, 20)


def test_other_edges_are_told_apart_too(store: Store) -> None:
    for key, size in (("a", 10), ("b", 11)):
        store.ledger.add(replace(ENTRY, key=key, prompt_tokens=size))
    buckets = [spend.prompt_bucket for spend in store.ledger.spends(edges=(10,))]
    assert buckets == [0, 10]


def test_entries_come_in_pages_and_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gesso.memory.ledger.PAGE", 3)
    keys = [f"{n:02}" for n in range(8)]
    for key in reversed(keys):
        store.ledger.add(replace(ENTRY, key=key, at=START + timedelta(seconds=int(key) // 4)))
    assert [entry.key for entry in store.ledger.entries()] == keys
    late = store.ledger.entries(since=START + timedelta(seconds=1), agent="clerk")
    assert [entry.key for entry in late] == keys[4:]


@pytest.mark.parametrize("what", ["UPDATE ledger SET output_tokens = 1", "DELETE FROM ledger"])
def test_the_ledger_cannot_be_changed(store: Store, what: str) -> None:
    store.ledger.add(ENTRY)
    with (
        pytest.raises(StoreError, match="the ledger is only added to"),
        store._database.write() as connection,
    ):
        connection.execute(text(what))
    assert list(store.ledger.entries()) == [ENTRY]
