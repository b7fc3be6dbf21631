"""The usage ledger: what every generation took, and what those of a while took together.

It is only ever added to; the database itself refuses a change or a removal, and keeps the sums of
each quarter of an hour as rows come (`spends`). So ten million rows are some hundred thousand sums,
and what is asked of them is answered in under a second (`make bench-ledger`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Integer,
    Row,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy import cast as sql_cast

from .database import Database
from .functions import number_in, whole
from .rows import PROMPT_EDGES, QUARTER, LedgerEntry, Spend, Work, quarter_of, time_of
from .tables import jobs, ledger, spends
from .upsert import add_once

PAGE = 5000
"""Entries that are read at a time."""

DIMENSIONS = ("agent", "job", "model", "device")
SUMS = [field.name for field in fields(Work)]


class Ledger:
    """The ledger of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: LedgerEntry) -> None:
        """Add an entry; the first one of a key counts."""
        with self._database.write() as connection:
            enter(connection, [entry])

    def entries(
        self,
        *,
        run: str | None = None,
        agent: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LedgerEntry]:
        """The entries, oldest first, read as they are asked for."""
        given = {"run": run, "agent": agent}
        chosen = [ledger.c[name] == value for name, value in given.items() if value is not None]
        if since is not None:
            chosen.append(ledger.c.at >= since.timestamp())
        if until is not None:
            chosen.append(ledger.c.at < until.timestamp())
        last: Row[Any] | None = None
        while True:
            statement = select(ledger).where(*chosen).order_by(ledger.c.at, ledger.c.key)
            if last is not None:
                later = and_(ledger.c.at == last.at, ledger.c.key > last.key)
                statement = statement.where(or_(ledger.c.at > last.at, later))
            with self._database.read() as connection:
                page = connection.execute(statement.limit(PAGE)).all()
            for row in page:
                yield entry_of(dict(row._mapping))
            if len(page) < PAGE:
                return
            last = page[-1]

    def spends(
        self,
        cuts: Sequence[datetime] | None = None,
        *,
        run: str | None = None,
        agent: str | None = None,
        job: str | None = None,
        model: str | None = None,
        apart: Iterable[str] = DIMENSIONS,
        edges: Sequence[int] = PROMPT_EDGES,
    ) -> list[Spend]:
        """What was spent between each two of the `cuts`, which ascend; without them, in each
        quarter of an hour. A spend's `start` is the cut before it. What is not to be told `apart`
        is empty in it. `edges` are the sizes of prompts that are told apart.

        What the sums that are kept cannot answer (a run, cuts within a quarter of an hour, other
        edges) is summed anew.
        """
        even = all(cut.timestamp() % QUARTER == 0 for cut in cuts or ())
        kept = run is None and even and set(edges) <= set(PROMPT_EDGES)
        source: Any = spends if kept else _entries_as_sums(edges)
        time = source.c.start if kept else source.c.at
        given = {"run": run, "agent": agent, "job": job, "model": model}
        chosen = [source.c[name] == value for name, value in given.items() if value is not None]
        start, tables = source.c.start, source
        if cuts is not None:
            pairs = [(a.timestamp(), b.timestamp()) for a, b in itertools.pairwise(cuts)]
            numbered = literal(dict(enumerate(pairs)), JSON)
            between = func.json_each(numbered).table_valued("key", "value").alias("between")
            first, last = (number_in(between.c.value, literal_column(f"{n}")) for n in (0, 1))
            start, tables = first, between.join(source, and_(time >= first, time < last))
        keys = [start.label("start")]
        keys += [source.c[name] for name in DIMENSIONS if name in set(apart)]
        keys.append(source.c.prompt_bucket)
        # A sum of whole numbers is a decimal on PostgreSQL.
        sums = [sql_cast(func.sum(source.c[n]), spends.c[n].type).label(n) for n in SUMS]
        statement = select(*keys, *sums).select_from(tables).where(*chosen)
        with self._database.read() as connection:
            found = connection.execute(statement.group_by(*keys).order_by(*keys)).all()
        return [_spend(dict(row._mapping)) for row in found]

    def began(self) -> datetime | None:
        """When the first generation was."""
        with self._database.read() as connection:
            first = connection.execute(select(func.min(ledger.c.at))).scalar()
        return None if first is None else time_of(first)


def entry_of(row: dict[str, Any]) -> LedgerEntry:
    """The entry of a row of the table."""
    return LedgerEntry(**{**row, "at": time_of(row["at"])})


def enter(connection: Connection, entries: Iterable[LedgerEntry]) -> None:
    """Add entries in a transaction that is under way."""
    for entry in entries:
        row = asdict(entry) | {"at": entry.at.timestamp()}
        add_once(connection, ledger, row)


def spends_of(entries: Iterable[LedgerEntry]) -> list[Spend]:
    """The same of entries that are at hand, each for itself."""
    return [
        Spend(
            start=quarter_of(entry.at),
            agent=entry.agent,
            job="",
            model=entry.model,
            device=entry.device,
            prompt_bucket=max((e for e in PROMPT_EDGES if entry.prompt_tokens > e), default=0),
            generations=1,
            prompt_tokens=entry.prompt_tokens,
            cached_tokens=entry.cached_tokens,
            output_tokens=entry.output_tokens,
            canvases=entry.canvases,
            denoising_steps=entry.denoising_steps,
            seconds=(seconds := entry.prefill_seconds + entry.denoising_seconds),
            measured_joules=(entry.joules or 0.0) if entry.energy == "measured" else 0.0,
            estimated_joules=(entry.joules or 0.0) if entry.energy == "estimated" else 0.0,
            unknown_generations=int(entry.energy == "unknown"),
            unknown_seconds=seconds if entry.energy == "unknown" else 0.0,
        )
        for entry in entries
    ]


def _entries_as_sums(edges: Sequence[int]) -> Any:
    """Every entry as the sum of itself alone, for other edges."""
    above = [(ledger.c.prompt_tokens > edge, literal(edge)) for edge in sorted(edges, reverse=True)]
    job = select(jobs.c.run).where(jobs.c.run == ledger.c.run).scalar_subquery()
    seconds = ledger.c.prefill_seconds + ledger.c.denoising_seconds
    unknown = ledger.c.energy == "unknown"

    def joules(energy: str) -> ColumnElement[float]:
        return case((ledger.c.energy == energy, ledger.c.joules), else_=0.0)

    same = ("at", "run", "agent", "model", "device")
    counts = ("prompt_tokens", "cached_tokens", "output_tokens", "canvases", "denoising_steps")
    columns = {
        **{name: ledger.c[name] for name in (*same, *counts)},
        "start": (seconds_of := whole(ledger.c.at)) - seconds_of % QUARTER,
        "job": func.coalesce(job, ""),
        "prompt_bucket": case(*above, else_=0) if above else literal(0),
        "generations": literal(1),
        "seconds": seconds,
        "measured_joules": joules("measured"),
        "estimated_joules": joules("estimated"),
        "unknown_generations": sql_cast(unknown, Integer),
        "unknown_seconds": case((unknown, seconds), else_=0.0),
    }
    return select(*(column.label(name) for name, column in columns.items())).subquery()


def _spend(row: dict[str, Any]) -> Spend:
    names = {name: row.pop(name, "") for name in DIMENSIONS}
    return Spend(start=time_of(row.pop("start")), **names, **row)
