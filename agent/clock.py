"""The clock: one thread that fires the schedules of all agents, and sleeps until the next is due.

What has been fired is kept in the store, only after the firing: a kill between the two repeats it,
by the same instant, and whoever fires knows the instant for one that was. What is due and what is
not is `schedule.due`'s to say.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from ..memory import Schedules, StoreError
from .errors import AgentError
from .schedule import MOST, due
from .trigger import Timed

log = logging.getLogger("gesso")

NAP = timedelta(seconds=30)
"""The longest sleep: the machine may have slept too, or its clock been set."""

Fire = Callable[[str, Timed, datetime], object]


class Clock:
    """Calls `fire` with an agent's name, the trigger and the instant, until `close`."""

    def __init__(self, kept: Schedules, fire: Fire) -> None:
        self._kept = kept
        self._fire = fire
        self._agents: dict[str, Sequence[Timed]] = {}
        self._last: dict[tuple[str, str], datetime] = {}
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    def set(self, agent: str, triggers: Sequence[Timed]) -> None:
        """From now on these are the schedules of this agent."""
        self._agents = {**self._agents, agent: triggers}
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            now = datetime.now(UTC)
            upcoming = min((*self._serve_all(now), now + NAP))
            self._wake.wait(max((upcoming - datetime.now(UTC)).total_seconds(), 0.0))

    def _serve_all(self, now: datetime) -> list[datetime]:
        """Fire what is due; when each schedule is to be looked at again."""
        upcoming = []
        for agent, triggers in self._agents.items():
            for trigger in triggers:
                try:
                    upcoming.append(self._serve(agent, trigger, now))
                except (AgentError, StoreError) as error:
                    log.error("%s: %s: tried again in a while: %s", agent, trigger, error)
                except Exception:
                    log.exception("%s: %s: tried again in a while", agent, trigger)
        return upcoming

    def _serve(self, agent: str, trigger: Timed, now: datetime) -> datetime:
        schedule, name = trigger.schedule, str(trigger)
        key = (agent, name)
        if key not in self._last or schedule.following(self._last[key]) <= now:
            # Another process may have come further.
            self._last[key] = self._kept.first_seen(agent, name, at=now.replace(microsecond=0))
        asked = due(schedule, self._last[key], now, trigger.missed)
        for firing in asked.firings:
            self._fire(agent, trigger, firing)
        if asked.left_out is not None:
            first, last = asked.left_out
            why = f"{MOST:,} are made" if trigger.missed == "all" else f"missed: {trigger.missed}"
            log.warning("%s: %s: left out from %s to %s (%s)", agent, name, first, last, why)
        if asked.last != self._last[key]:
            self._kept.fired(agent, name, last=asked.last)
            self._last[key] = asked.last
        return schedule.following(asked.last)
