"""The monitor over a runtime in a process of its own: it is told something, killed, and found."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gesso.agent.control.client import Control
from gesso.agent.screens.monitor.app import Monitor
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Label

SECONDS = 90


@contextmanager
def up(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`gesso up`, and its end at the latest with the test's."""
    command = [sys.executable, "-m", "gesso.agent", "up", str(project)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GESSO_WEB_PORT": "0"}
    with (project / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def until(pilot: Pilot[None], wanted: Callable[[], Any]) -> Any:
    for _ in range(SECONDS * 10):
        if found := wanted():
            return found
        await pilot.pause(0.1)
    raise AssertionError(head(pilot))


def head(pilot: Pilot[None]) -> str:
    return said(pilot.app, "#head")


def said(app: App[Any], label: str) -> str:
    return str(app.query_one(label, Label).content)


@pytest.mark.slow
def test_a_runtime_is_watched_lost_and_found_again(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [read_file]", "Answer in a word.")
    state = project / ".gesso"

    async def look() -> None:
        async with Control(state) as control:
            monitor = Monitor(control, str(project), first="run")
            async with monitor.run_test(size=(120, 34)) as pilot:
                await until(pilot, lambda: "is not up" in head(pilot))
                with up(project) as process:
                    await until(pilot, lambda: head(pilot).startswith(" ● "))
                    await control.post("/v1/agents/clerk/messages", text="What is in inbox?")
                    view = await until(pilot, lambda: list(monitor.live.runs.values()))
                    run = view[0].run
                    await until(
                        pilot, lambda: run in str(monitor.query_one("#run-head", Label).content)
                    )
                    await until(pilot, lambda: monitor.live.runs[run].draft)
                    await until(
                        pilot,
                        lambda: "canvas 1" in str(monitor.query_one("#canvas-head", Label).content),
                    )
                    process.send_signal(signal.SIGKILL)
                    await until(pilot, lambda: "is not up" in head(pilot))
                with up(project):
                    await until(pilot, lambda: head(pilot).startswith(" ● "))
                    assert [one["id"] for one in await control.get("/v1/runs")] == [run]

    asyncio.run(look())
