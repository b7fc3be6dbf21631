"""`gesso status`: whether a project is up, and what its agents did last."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .options import Folder, Json

if TYPE_CHECKING:
    from ..status import AgentStatus


def status(folder: Folder = Path(), as_json: Json = False) -> None:
    """Whether `gesso up` runs, the agents and their last runs, the queue, today's tokens."""
    from ..status import status_of
    from .output import print_json, print_table

    found = status_of(folder.resolve())
    if as_json:
        print_json(asdict(found))
        return
    up = "is not up"
    if found.instance is not None:
        up = f"is up since {_time(found.instance.since)}, as process {found.instance.pid}"
    print_table(
        f"{found.folder} {up}",
        ("agent", "triggers", "last run", "state", "reason"),
        [_row(agent) for agent in found.agents],
    )
    counts = ", ".join(f"{count} {state}" for state, count in sorted(found.runs.items()))
    print(f"Runs: {counts or 'none yet'}")
    if found.inbox:
        print(f"{found.inbox} waiting for you: gesso inbox")
    today = found.today
    print(
        f"Today: {today.turns} turns, {today.prompt_tokens} prompt tokens,"
        f" {today.output_tokens} output tokens"
    )


def _row(agent: AgentStatus) -> tuple[str, str, str, str, str]:
    from .output import shortened

    if agent.problem is not None:
        return agent.file, "", "", "broken", agent.problem
    triggers = "; ".join(agent.triggers)
    run = agent.last_run
    if run is None:
        return agent.name or "", triggers, "", "", ""
    at = run.ended or run.started or run.queued
    return agent.name or "", triggers, _time(at), run.state, shortened(run.reason)


def _time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
