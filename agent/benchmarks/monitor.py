"""How the monitor bears a busy runtime: `python -m gesso.agent.benchmarks.monitor [--minutes 2]`.

50 agents, 1,000 queued runs and 200 events a second, most of them drafts of canvases, come from a
stand-in for the control API in the same process. Measured: the time from a key press to the screen
that has answered it (Pilot), the share of a core that the process takes, and how its memory rises
over the second half.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, cast

from textual.widgets import TabbedContent

from ..control.client import Control
from ..screens.monitor.app import PANES, Monitor

AGENTS = 50
QUEUED = 1000
EVENTS_PER_SECOND = 200
WORDS = ("{", '"', "company", ":", " ", "The", "Paper", "Kite", "total", "49.49", "}")


class Busy:
    """Answers as a runtime with much to do would."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0

    async def get(self, path: str, **query: Any) -> Any:
        at = datetime.now(UTC).isoformat()
        if path == "/v1/home":
            rate = {"now": 812.0, "today": 790.0, "sustained": 640.0}
            agents = [self._agent(number, at) for number in range(AGENTS)]
            runs = {"running": AGENTS, "queued": QUEUED, "done": 12_345}
            home = {"folder": "/srv/busy", "agents": agents, "runs": runs, "inbox": 3}
            return home | {"throughput": rate}
        if path == "/v1/runs":
            return [self._run(number, at) for number in range(query.get("limit", 100))]
        if path.startswith("/v1/runs/"):
            return {"run": self._run(0, at), "turns": []}
        if path == "/v1/cost":
            bill = {"name": "a cloud model", "cost": 1.0}
            row = {"name": at[:10], "local": {"total": 0.5}, "bills": [bill]}
            work = {"prompt_tokens": 10, "output_tokens": 10}
            total = {"local": {"total": 0.5}, "bills": [bill], "work": work}
            report = {"rows": [row], "total": total, "terms": {"currency": "USD"}}
            return report | {"verdicts": [], "notes": []}
        return []

    async def post(self, path: str, **body: Any) -> Any:
        return {}

    async def delete(self, path: str) -> Any:
        return {}

    async def events(self, lost: Callable[[str], None]) -> AsyncIterator[dict[str, Any]]:
        lost("")
        start = time.monotonic()
        while True:
            due = int((time.monotonic() - start) * EVENTS_PER_SECOND)
            while self._number < due:
                self._number += 1
                yield self._event()
            await asyncio.sleep(1 / EVENTS_PER_SECOND)

    def _event(self) -> dict[str, Any]:
        number = self._random.randrange(AGENTS)
        # Runs end, and others begin.
        run = f"agent-{number}-{self._number // (EVENTS_PER_SECOND * 20)}"
        event = {"id": self._number, "at": datetime.now(UTC).isoformat(), "run": run}
        event["agent"] = f"agent-{number}"
        if self._number % 4 == 0:
            data = {"level": "info", "text": f"{run} does something again"}
            return event | {"kind": "log", "data": data}
        if self._number % 10 == 1:
            usage = {"prompt_tokens": 400, "output_tokens": 60, "denoising_steps": 9}
            usage |= {"prefill_seconds": 0.1, "denoising_seconds": 0.5}
            return event | {"kind": "usage", "data": usage}
        count = self._random.randint(20, 256)
        data: dict[str, Any] = {
            "canvas": 1,
            "step": self._number % 16,
            "length": 256,
            "known": count // 3,
        }
        data["pieces"] = self._random.choices(WORDS, k=count)
        data["sure"] = [self._random.random() for _ in range(count)]
        return event | {"kind": "draft", "data": data}

    def _agent(self, number: int, at: str) -> Any:
        run = self._run(number, at)
        agent = {"name": f"agent-{number}", "description": "", "model": "m", "queued": 20}
        return agent | {"triggers": ["folder inbox *.txt"], "running": [run], "last": run}

    def _run(self, number: int, at: str) -> Any:
        run = {"id": f"agent-{number}-0", "agent": f"agent-{number}", "state": "running"}
        run |= {"trigger": "file inbox/a.txt", "input": "New file: inbox/a.txt", "reason": None}
        return run | {"queued": at, "ended": None}


async def measured(minutes: float) -> tuple[list[float], float, list[float]]:
    """Seconds of key presses, the share of a core, and the memory in MB as it went."""
    monitor = Monitor(cast(Control, Busy(1)), "/srv/busy")
    keys, memory = list[float](), list[float]()
    async with monitor.run_test(size=(160, 48)) as pilot:
        await pilot.pause(1)
        start, spent = time.monotonic(), time.process_time()
        number = 0
        while (gone := time.monotonic() - start) < minutes * 60:
            number += 1
            began = time.perf_counter()
            await _answered(monitor, 1 + number % len(PANES))
            keys.append(time.perf_counter() - began)
            memory.append(_megabytes())
            await asyncio.sleep(1)
        share = (time.process_time() - spent) / gone
    return keys, share, memory


async def _answered(monitor: Monitor, pane: int) -> None:
    """Press a pane's key, and wait until the screen that shows the pane was drawn. (Pilot's own
    wait is for an idle process, which this one never is.)"""
    drawn = asyncio.Event()
    monitor.simulate_key(str(pane))
    while monitor.query_one(TabbedContent).active != list(PANES)[pane - 1]:
        await asyncio.sleep(0.001)
    monitor.call_after_refresh(drawn.set)
    await drawn.wait()


def _megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="How the monitor bears a busy runtime.")
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    keys, share, memory = asyncio.run(measured(options.minutes))
    keys.sort()
    print(
        f"{len(keys)} keys: median {statistics.median(keys) * 1e3:.0f} ms, 95 of 100"
        f" {keys[int(len(keys) * 0.95)] * 1e3:.0f} ms, longest {keys[-1] * 1e3:.0f} ms"
    )
    print(f"{share:.1%} of a core, the stand-in's work with it")
    half = memory[len(memory) // 2 :]
    rise = half[-1] - half[0]
    print(f"memory {memory[0]:.0f} to {memory[-1]:.0f} MB; second half {rise:+.1f} MB")


if __name__ == "__main__":
    main()
