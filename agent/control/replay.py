"""A recording in place of a runtime: what a monitor hears and asks is of one run that is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from ..errors import ControlError

LONGEST_SECONDS = 5.0
"""Of a pause between two events, at the speed that they had: nobody waits for a person again."""


class Replay:
    """Plays events again, `speed` times as fast as they came."""

    def __init__(self, events: Sequence[dict[str, Any]], speed: float) -> None:
        self._events = events
        self._speed = speed

    async def get(self, path: str, **query: Any) -> Any:
        """What a recording knows: nothing but its events."""
        if path == "/v1/home":
            rate = {"now": 0.0, "today": None, "sustained": None}
            late = {"throughput": rate, "today": {"currency": "USD", "hours": []}}
            told = f"a recording, {self._speed:g} times as fast"
            return {"folder": told, "agents": [], "runs": {}, "inbox": 0} | late
        if path in ("/v1/runs", "/v1/inbox", "/v1/facts", "/v1/blocks", "/v1/jobs"):
            return []
        if path.startswith("/v1/runs/"):
            run = {"id": path.rpartition("/")[2], "state": "recorded", "reason": None}
            return {"run": run, "turns": []}
        raise ControlError("a recording does not know that")

    async def post(self, path: str, **body: Any) -> Any:
        raise ControlError("this is a recording: what was done is done")

    async def delete(self, path: str) -> Any:
        return await self.post(path)

    async def events(self, lost: Callable[[str], None]) -> AsyncIterator[dict[str, Any]]:
        lost("")
        before: datetime | None = None
        for event in self._events:
            at = datetime.fromisoformat(event["at"])
            if before is not None:
                pause = min((at - before).total_seconds(), LONGEST_SECONDS)
                await asyncio.sleep(max(0.0, pause) / self._speed)
            before = at
            yield event
