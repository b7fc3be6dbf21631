"""Pictures of the monitor: `python -m gesso.agent.screens.pictures FOLDER`.

The bundled agent reads the bundled receipts on `sketch` while the real monitor looks on through the
real control API; each pane is drawn to an SVG file, and the run's canvas half-way.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ...tools import Redactor
from ..control.client import Control
from ..control.replay import Replay
from ..control.server import controlled
from ..instance import held
from ..log import log, published
from ..recording import recorded, recording
from ..runtime import Runtime
from ..state import state_of
from .monitor.app import PANES, Monitor

DEMO = Path(__file__).parent.parent / "demo"
SIZE = (110, 30)


def project(folder: Path) -> None:
    """The demo's, with a machine to reckon with."""
    shutil.copytree(DEMO / "agents", folder / "agents")
    (folder / "inbox").mkdir()
    (folder / "gesso.toml").write_text('hardware = "laptop"\nelectricity = 0.30\n')


async def look(state: Path, target: Path) -> None:
    """Every pane of a runtime that works."""
    async with Control(state) as control:
        monitor = Monitor(control, str(state.parent))
        async with monitor.run_test(size=SIZE) as pilot:
            await pilot.pause(1)
            for receipt in sorted((DEMO / "inbox").glob("*.txt")):
                shutil.copy(receipt, state.parent / "inbox")
            await pilot.pause(6)
            for number, name in enumerate(PANES, 1):
                await pilot.press(str(number))
                await pilot.pause(3)
                monitor.save_screenshot(str(target / f"{name}.svg"))


async def look_again(state: Path, target: Path) -> None:
    """The canvas of a record, half-way: the draft that has most of it unsettled, of all runs."""
    runs = [recording(state, str(file)) for file in sorted((state / "recordings").iterdir())]
    drafts = [
        (len(event["data"]["pieces"]) - event["data"]["known"], run, number)
        for run, events in enumerate(runs)
        for number, event in enumerate(events)
        if event["kind"] == "draft" and event["data"]["known"]
    ]
    _, run, number = max(drafts)
    monitor = Monitor(Replay(runs[run][: number + 1], 1000), "", first="run")
    async with monitor.run_test(size=SIZE) as pilot:
        await pilot.pause(3)
        monitor.save_screenshot(str(target / "canvas.svg"))


@contextmanager
def _watching(runtime: Runtime) -> Iterator[threading.Event]:
    """The triggers at work, until the event is set."""
    stop = threading.Event()
    thread = threading.Thread(target=runtime.watch, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw pictures of the monitor.")
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder
    target.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        project(home)
        state = state_of(home)
        runtime = stack.enter_context(Runtime(home))
        runtime.load()
        stack.enter_context(held(state))
        stack.enter_context(controlled(runtime, state))
        stack.enter_context(published(runtime.events, Redactor({})))
        stack.enter_context(recorded(runtime.events, state))
        stop = stack.enter_context(_watching(runtime))
        asyncio.run(look(state, target))
        stop.set()
        asyncio.run(look_again(state, target))


if __name__ == "__main__":
    main()
