"""How a runtime stands, at a glance: what `/v1/home` answers every few seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from ...memory import QUARTER, Run, Store, quarter_of
from ..agent import Agent
from ..cost.hardware import Terms, terms_of
from ..cost.report import electricity_of, work_of
from ..cost.throughput import Throughput, throughput_of
from ..days import last_midnight
from ..runtime import Runtime
from ..trigger import CronTrigger, IntervalTrigger

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class TriggerState:
    """What starts an agent; `next` is when, where a clock does."""

    name: str
    next: datetime | None


@dataclass(frozen=True)
class AgentState:
    """An agent that is up: what starts it, what it is doing, and its last run."""

    name: str
    description: str
    model: str
    triggers: list[TriggerState]
    running: list[Run]
    queued: int
    last: Run | None


@dataclass(frozen=True)
class Today:
    """What the work of each hour since midnight took of electricity, in `currency`; no hour is told
    where the energy of any is unknown."""

    currency: str
    hours: list[float]


@dataclass(frozen=True)
class Home:
    """How the runtime stands."""

    folder: str
    since: datetime
    agents: list[AgentState]
    runs: dict[str, int]
    inbox: int
    throughput: Throughput
    today: Today


def home_of(runtime: Runtime, since: datetime, now: datetime) -> Home:
    """Of a runtime that came up at a time."""
    store = runtime.store
    running = store.runs(state="running")
    queued, last = store.queued_counts(), store.last_runs()
    fired = store.schedules.last()
    return Home(
        folder=str(runtime.folder),
        since=since,
        agents=[
            AgentState(
                name=agent.name,
                description=agent.description,
                model=runtime.model_of(agent),
                triggers=_triggers(agent, fired, now),
                running=[run for run in running if run.agent == agent.name],
                queued=queued.get(agent.name, 0),
                last=last.get(agent.name),
            )
            for agent in sorted(runtime.agents.values(), key=lambda one: one.name)
        ],
        runs=store.run_counts(),
        inbox=len(store.inbox.entries()),
        throughput=throughput_of(store, now),
        today=_today(store, terms_of(runtime.settings), now),
    )


def _triggers(
    agent: Agent, fired: Mapping[tuple[str, str], datetime], now: datetime
) -> list[TriggerState]:
    found = []
    for trigger in agent.triggers:
        upcoming = None
        if isinstance(trigger, CronTrigger | IntervalTrigger):
            last = fired.get((agent.name, str(trigger)), now)
            upcoming = trigger.schedule.following(last)
        found.append(TriggerState(str(trigger), upcoming))
    return found


def _today(store: Store, terms: Terms, now: datetime) -> Today:
    begins = last_midnight(now)
    end = quarter_of(now) + timedelta(seconds=QUARTER)
    cuts = [begins]
    while cuts[-1] < end:
        cuts.append(cuts[-1] + HOUR)
    spends = store.ledger.spends(cuts, apart=())
    hours: list[float | None] = [
        electricity_of(work_of(one for one in spends if one.start == first), terms)
        for first, _ in pairwise(cuts)
    ]
    return Today(terms.currency, _known(hours))


def _known(hours: Sequence[float | None]) -> list[float]:
    known = [hour for hour in hours if hour is not None]
    return known if len(known) == len(hours) else []
