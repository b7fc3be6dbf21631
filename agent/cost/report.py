"""What a project's work cost over a while: here, in the cloud, and when the machine has paid.

Here it costs what the machine loses of its price (by the hour, whether it works or waits), the
electricity of the generations, and that of the hours in which it waits. What has no figure is
`None`, and so is every sum with it: nothing is silently zero. Money is in the terms' currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Literal, cast

from ...memory import QUARTER, Spend, Store, Work, quarter_of
from ..days import midnight
from ..errors import CostError
from ..settings import Settings
from .breakeven import DAYS_A_MONTH, BreakEven, Rates, break_even
from .hardware import HOURS_A_MONTH, JOULES_A_KWH, Terms, terms_of
from .peers import Bill, bill_of, edges_of
from .prices import Peer, PriceList, price_list, read_peer

By = Literal["day", "agent", "job", "model"]
BYS: tuple[By, ...] = ("day", "agent", "job", "model")
Known = Literal["measured", "estimated", "partly estimated", "unknown"]

_APART: Mapping[By, tuple[str, ...]] = {
    "day": (),
    "agent": ("agent",),
    "job": ("job",),
    "model": ("model", "device"),
}
NO_JOB = "no job"
SHORT_HOURS = 24.0
LONG_AGO = timedelta(days=36525)


@dataclass(frozen=True)
class Basis:
    """What costs are computed by: the machine's terms, and the cloud models with their prices."""

    terms: Terms
    peers: Sequence[Peer]
    prices: PriceList


def basis_of(settings: Settings, peers: Sequence[str] = ()) -> Basis:
    """A project's own, or with other peers. Raises `CostError` for what is unknown of it."""
    read = [read_peer(text) for text in peers or settings.cloud]
    return Basis(terms_of(settings), read, price_list())


def work_of(spends: Iterable[Spend]) -> Work:
    """All of it together."""
    sums: dict[str, float] = {field.name: 0 for field in fields(Work)}
    for spend in spends:
        for name in sums:
            sums[name] += getattr(spend, name)
    return Work(**cast(Any, sums))


@dataclass(frozen=True)
class Cost:
    """What some work took by itself: `electricity` in the currency of the terms, and the bills of
    cloud models."""

    work: Work
    joules: float | None
    energy: Known
    electricity: float | None
    bills: Sequence[Bill]


def cost_of(spends: Sequence[Spend], basis: Basis) -> Cost:
    """Raises `CostError` for a peer that the list does not have."""
    work = work_of(spends)
    joules, energy = _joules(work, basis.terms)
    bills = [bill_of(spends, peer, basis.prices) for peer in basis.peers]
    return Cost(work, joules, energy, _electricity(joules, basis.terms), bills)


@dataclass(frozen=True)
class Local:
    """What work cost here: `electricity` of the generations, and the work's share of the machine's
    price and of what it drew while it waited."""

    joules: float | None
    energy: Known
    electricity: float | None
    idle: float | None
    machine: float | None

    @property
    def total(self) -> float | None:
        parts = (self.electricity, self.idle, self.machine)
        return None if any(part is None for part in parts) else sum(part or 0.0 for part in parts)


@dataclass(frozen=True)
class Row:
    """One day, agent, job or model, or all of them. `records` is what a job made of documents."""

    name: str
    work: Work
    local: Local
    bills: Sequence[Bill]
    records: int | None = None


@dataclass(frozen=True)
class Report:
    """`since` to `until` is the time looked at, `hours` of it have gone by. Each bill of `total`
    has its break-even, in the order of its bills; there is none without the machine's price."""

    since: datetime
    until: datetime
    hours: float
    by: By
    rows: Sequence[Row]
    total: Row
    terms: Terms
    prices: str
    break_evens: Sequence[BreakEven | None]
    notes: Sequence[str]

    @property
    def utilisation(self) -> float | None:
        """The share of the hours in which something was generated."""
        return self.total.work.seconds / 3600 / self.hours if self.hours else None


@dataclass(frozen=True)
class Question:
    """What is asked: from `since` (the first generation) to `until` (now), `by` what it is told
    apart, on the clocks of `zone`; only an agent's, a job's, a model's."""

    by: By = "day"
    since: datetime | None = None
    until: datetime | None = None
    zone: tzinfo | None = None
    agent: str | None = None
    job: str | None = None
    model: str | None = None


def report_of(store: Store, question: Question, basis: Basis, *, now: datetime) -> Report:
    """Raises `CostError` for a peer that the list does not have, or a time that ends before it
    begins."""
    terms, peers, prices = basis.terms, basis.peers, basis.prices
    since = question.since or quarter_of(store.ledger.began() or now)
    until = question.until or quarter_of(now) + timedelta(seconds=QUARTER)
    if since >= until:
        raise CostError(f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}: ends before it begins")
    hours = max(0.0, (min(until, now) - since).total_seconds() / 3600)
    changes = {at for peer in peers for at in prices.changes(peer, since, until)}
    days = _days(since, until, question.zone) if question.by == "day" else set[datetime]()
    cuts = sorted({since, until} | changes | days)
    spends = store.ledger.spends(
        cuts,
        agent=question.agent,
        job=question.job,
        model=question.model,
        apart=_APART[question.by],
        edges=edges_of(peers, prices, cuts[:-1]),
    )
    whole = work_of(spends)
    groups: dict[str, list[Spend]] = {}
    for spend in spends:
        groups.setdefault(_name(spend, question), []).append(spend)

    def row(name: str, mine: Sequence[Spend], records: int | None = None) -> Row:
        work = work_of(mine)
        share = work.seconds / whole.seconds if whole.seconds else float(mine is spends)
        local = _local(work, terms, hours, max(0.0, hours - whole.seconds / 3600), share)
        return Row(name, work, local, [bill_of(mine, peer, prices) for peer in peers], records)

    rows = [
        row(name, mine, _records(store, name) if question.by == "job" else None)
        for name, mine in sorted(groups.items())
    ]
    total = row("all", spends)
    notes = [*terms.notes, *_energy_notes(whole, terms)]
    if hours < SHORT_HOURS:
        notes.append(f"What a month would be is told from {hours:.1f} hours only")
    months = hours / HOURS_A_MONTH
    rates = [_rates(total, bill, months, terms) for bill in total.bills] if months else []
    break_evens = [break_even(one, terms) for one in rates] or [None] * len(peers)
    return Report(
        since, until, hours, question.by, rows, total, terms, str(prices), break_evens, notes
    )


def month_of(
    store: Store, question: Question, basis: Basis, *, tokens_a_day: float, now: datetime
) -> Report:
    """A month in which so many tokens are generated each day, at the prices of now: a mix of
    prompts and answers like that of the time asked for, at its speed. Where nothing was generated,
    all tokens are answers and the machine is busy all the time."""
    terms, peers, prices = basis.terms, basis.peers, basis.prices
    at = quarter_of(now)
    edges = edges_of(peers, prices, [at])
    asked = {"agent": question.agent, "job": question.job, "model": question.model}
    since, until = question.since or at - LONG_AGO, question.until or at + timedelta(days=1)
    spends = store.ledger.spends([since, until], apart=(), edges=edges, **asked)
    notes = [*terms.notes]
    tokens = tokens_a_day * DAYS_A_MONTH
    known = work_of(spends).tokens
    if known:
        month = [_times(spend, tokens / known, at) for spend in spends]
    else:
        month = [_busy(at, tokens)]
        notes.append("Nothing was generated yet: all tokens are taken to be answers, all day long")
    work = work_of(month)
    notes += _energy_notes(work, terms)
    busy = work.seconds / 3600
    if busy > HOURS_A_MONTH * 1.001:
        machines = busy / HOURS_A_MONTH
        notes.append(f"At the speed so far, so many tokens want {machines:,.1f} such machines")
    local = _local(work, terms, HOURS_A_MONTH, max(0.0, HOURS_A_MONTH - busy), 1.0)
    total = Row("a month", work, local, [bill_of(month, peer, prices) for peer in peers])
    evens = [break_even(_rates(total, bill, 1.0, terms), terms) for bill in total.bills]
    end = at + timedelta(hours=HOURS_A_MONTH)
    return Report(at, end, HOURS_A_MONTH, question.by, [], total, terms, str(prices), evens, notes)


def _busy(at: datetime, tokens: float) -> Spend:
    """A machine that writes answers for a month without a pause."""
    seconds = HOURS_A_MONTH * 3600
    return Spend(
        start=at,
        agent="",
        job="",
        model="",
        device="",
        prompt_bucket=0,
        generations=1,
        output_tokens=round(tokens),
        seconds=seconds,
        unknown_generations=1,
        unknown_seconds=seconds,
    )


def _times(spend: Spend, factor: float, at: datetime) -> Spend:
    """So many times as much, in one quarter of an hour."""
    work = {field.name: getattr(spend, field.name) for field in fields(Work)}
    scaled = {
        name: value * factor if isinstance(value, float) else round(value * factor)
        for name, value in work.items()
    }
    return replace(spend, start=at, **scaled)


def _rates(row: Row, bill: Bill, months: float, terms: Terms) -> Rates:
    busy = row.work.seconds / 3600
    return Rates(
        tokens=row.work.tokens / months,
        cloud=float(bill.dollars) * terms.rate / months,
        electricity=None if row.local.electricity is None else row.local.electricity / months,
        busy_hours=busy / months,
    )


def _local(work: Work, terms: Terms, hours: float, idle_hours: float, share: float) -> Local:
    joules, energy = _joules(work, terms)
    idle, machine = terms.idle_an_hour, terms.price_an_hour
    return Local(
        joules=joules,
        energy=energy,
        electricity=_electricity(joules, terms),
        idle=None if idle is None else idle * idle_hours * share,
        machine=None if machine is None else machine * hours * share,
    )


def _joules(work: Work, terms: Terms) -> tuple[float | None, Known]:
    """The energy of all generations: what was not known then is estimated by the watts."""
    known = work.measured_joules + work.estimated_joules
    if work.unknown_generations:
        if terms.load_watts is None:
            return None, "unknown"
        known += terms.load_watts * work.unknown_seconds
    guessed = bool(work.estimated_joules or work.unknown_generations)
    if not guessed:
        return known, "measured"
    return known, "partly estimated" if work.measured_joules else "estimated"


def _electricity(joules: float | None, terms: Terms) -> float | None:
    return None if joules is None else joules / JOULES_A_KWH * terms.electricity


def electricity_of(work: Work, terms: Terms) -> float | None:
    """What the electricity of the generations cost."""
    return _electricity(_joules(work, terms)[0], terms)


def _energy_notes(work: Work, terms: Terms) -> list[str]:
    if not work.generations:
        return []
    _, energy = _joules(work, terms)
    if energy == "unknown":
        return ["The energy is unknown: no meter was there, and no load_watts is set"]
    if energy == "measured":
        return []
    return [f"The energy is {energy}, by the watts that the machine is said to draw"]


def _records(store: Store, job: str) -> int | None:
    return None if job == NO_JOB else store.jobs.counts(job).done


def _name(spend: Spend, question: Question) -> str:
    if question.by == "day":
        return f"{spend.start.astimezone(question.zone):%Y-%m-%d}"
    if question.by == "agent":
        return spend.agent
    if question.by == "job":
        return spend.job or NO_JOB
    return f"{spend.model} on {spend.device}"


def _days(since: datetime, until: datetime, zone: tzinfo | None) -> set[datetime]:
    """The midnights between two times, on a zone's clocks."""
    first = since.astimezone(zone).date()
    count = (until.astimezone(zone).date() - first).days
    found = (midnight(first + timedelta(days=n), zone) for n in range(1, count + 1))
    return {at for at in found if since < at < until}
