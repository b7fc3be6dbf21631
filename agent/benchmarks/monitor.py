"""How the monitor bears a busy runtime: `python -m gesso.agent.benchmarks.monitor [--minutes 2]`.

50 agents, 1,000 queued runs and 200 events a second, most of them drafts of canvases, come over
HTTP from a stand-in (`busy`) in another process. Measured: the time from a key press to the screen
that has answered it (Pilot), the share of a core that the process takes, and how its memory rises
over the second half. With `--rate` there are more events: `--rate 2000 --minutes 6` is an hour's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from textual.widgets import TabbedContent

from ..control.client import Control
from ..control.server import address_of
from ..errors import InstanceError
from ..screens.monitor.app import PANES, Monitor
from ..state import state_of
from .busy import EVENTS_PER_SECOND


@contextmanager
def busy(state: Path, rate: float) -> Iterator[None]:
    """The stand-in, until the end."""
    command = [sys.executable, "-m", "gesso.agent.benchmarks.busy", str(state), "--rate", str(rate)]
    with subprocess.Popen(command) as process:
        try:
            while True:
                try:
                    address_of(state)
                    break
                except InstanceError:
                    time.sleep(0.1)
            yield
        finally:
            process.terminate()


async def measured(
    state: Path, minutes: float
) -> tuple[dict[str, list[float]], list[float], float, list[float]]:
    """Seconds of key presses by their pane, the processor's part of each, the share of a core, and
    the memory in MB as it went."""
    keys = defaultdict[str, list[float]](list)
    work, memory = list[float](), list[float]()
    async with Control(state) as control:
        monitor = Monitor(control, "/srv/busy")
        async with monitor.run_test(size=(160, 48)) as pilot:
            await pilot.pause(1)
            start, spent = time.monotonic(), time.process_time()
            number = 0
            while (gone := time.monotonic() - start) < minutes * 60:
                number += 1
                pane = number % len(PANES)
                began, worked = time.perf_counter(), time.process_time()
                await _answered(monitor, 1 + pane)
                keys[list(PANES)[pane]].append(time.perf_counter() - began)
                work.append(time.process_time() - worked)
                memory.append(_megabytes())
                await asyncio.sleep(1)
            share = (time.process_time() - spent) / gone
    return keys, work, share, memory


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
    parser.add_argument("--rate", type=float, default=EVENTS_PER_SECOND)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = state_of(Path(folder))
        with busy(state, options.rate):
            by_pane, work, share, memory = asyncio.run(measured(state, options.minutes))
    keys = sorted(key for pane in by_pane.values() for key in pane)
    print(
        f"{len(keys)} keys: median {statistics.median(keys) * 1e3:.0f} ms, 95 of 100"
        f" {keys[int(len(keys) * 0.95)] * 1e3:.0f} ms, longest {keys[-1] * 1e3:.0f} ms"
    )
    work.sort()
    print(
        f"of the processor: median {statistics.median(work) * 1e3:.0f} ms, 95 of 100"
        f" {work[int(len(work) * 0.95)] * 1e3:.0f} ms, longest {work[-1] * 1e3:.0f} ms;"
        f" load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    told = (f"{name} {statistics.median(pane) * 1e3:.0f}" for name, pane in by_pane.items())
    print(f"median by pane, ms: {', '.join(told)}")
    print(f"{share:.1%} of a core")
    half = memory[len(memory) // 2 :]
    rise = half[-1] - half[0]
    print(f"memory {memory[0]:.0f} to {memory[-1]:.0f} MB; second half {rise:+.1f} MB")


if __name__ == "__main__":
    main()
