"""How a project stands, from its files and its store: no process is asked, no model loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..memory import Run, Store
from .agent import Agent
from .cost.report import work_of
from .days import last_midnight
from .errors import AgentFileError
from .instance import Instance, running
from .runtime import agent_files
from .settings import read_settings
from .state import STATE, has_store, store_of


@dataclass(frozen=True)
class AgentStatus:
    """An agent's file as it is now, and its last run. Of a file that is broken only `problem` is
    known."""

    file: str
    name: str | None
    triggers: Sequence[str]
    problem: str | None
    last_run: Run | None


@dataclass(frozen=True)
class Tokens:
    """What the generations took that ended today, by the machine's clock."""

    turns: int
    prompt_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True)
class Status:
    """`instance` is the process that is up; `runs` counts the runs by their state, `inbox` what
    waits there for the person."""

    folder: str
    instance: Instance | None
    agents: Sequence[AgentStatus]
    runs: Mapping[str, int]
    inbox: int
    today: Tokens


def status_of(folder: Path) -> Status:
    """Raises `ProjectError` of a folder without agents, `SettingsError` where its settings are
    wrong, `StoreError` of a store that is broken."""
    files = agent_files(folder)
    state = folder / STATE
    settings = read_settings(folder)
    instance = running(state)
    if not has_store(folder, settings):
        agents = [_agent(file, None) for file in files]
        return Status(str(folder), instance, agents, {}, 0, Tokens(0, 0, 0, 0.0))
    with Store(store_of(folder, settings)) as store:
        now = datetime.now(UTC)
        work = work_of(store.ledger.spends([last_midnight(now), now + timedelta(days=1)], apart=()))
        return Status(
            folder=str(folder),
            instance=instance,
            agents=[_agent(file, store) for file in files],
            runs=store.run_counts(),
            inbox=len(store.inbox.entries()),
            today=Tokens(
                turns=work.generations,
                prompt_tokens=work.prompt_tokens,
                output_tokens=work.output_tokens,
                seconds=work.seconds,
            ),
        )


def _agent(file: Path, store: Store | None) -> AgentStatus:
    name = f"{file.parent.name}/{file.name}"
    try:
        agent = Agent.load(file)
    except AgentFileError as error:
        return AgentStatus(name, None, [], str(error), None)
    triggers = [str(trigger) for trigger in agent.triggers]
    last = None if store is None else store.last_run(agent.name)
    return AgentStatus(name, agent.name, triggers, None, last)
