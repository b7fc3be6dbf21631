"""Every screen of the monitor as it was kept in `snapshots/`: small and large, dark and light."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from gesso.agent.control.client import Control
from gesso.agent.screens.monitor import app
from gesso.agent.screens.monitor.app import PANES, Monitor
from scene import FOLDER, Still, scene
from snapshot import cells_of, check, text_of
from starlette.types import ASGIApp
from textual.pilot import Pilot
from textual.widgets import DataTable

SIZES = ((80, 24), (160, 48))
RESTING = 3
RATES = (0.0, 12.0, 30.0, 55.0, 41.0, 60.0, 22.0, 38.0)


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ASGIApp]:
    with scene(tmp_path_factory.mktemp("scene")) as routes:
        yield routes


@pytest.fixture(autouse=True)
def nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SAMPLE_SECONDS", 3600.0)
    monkeypatch.setattr(app, "ASK_SECONDS", 3600.0)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", [*PANES, "keys"])
def test_a_screen_is_as_it_was_kept(routes: ASGIApp, screen: str, size: tuple[int, int]) -> None:
    async def look() -> str:
        first = screen if screen in PANES else "home"
        monitor = Monitor(cast(Control, Still(routes)), FOLDER, first=first)
        monitor.live.rates.extend(RATES)
        async with monitor.run_test(size=size) as pilot:
            if screen == "keys":
                await pilot.press("question_mark")
            await answered(pilot, monitor)
            seen = {}
            for theme in ("light", "dark", "light"):  # at the first, columns may still be narrow
                monitor.theme = f"textual-{theme}"
                seen[theme] = await settled(pilot, monitor)
        return text_of({theme: seen[theme] for theme in ("dark", "light")})

    check(f"{screen}-{size[0]}x{size[1]}", asyncio.run(look()))


async def answered(pilot: Pilot[None], monitor: Monitor) -> None:
    """Until the runtime has told all that the pane shows."""
    live = monitor.live
    await until(pilot, lambda: live.log and live.newest and monitor.home)
    monitor.pane().stale = True
    monitor.ask()
    await until(pilot, lambda: not monitor.pane().stale and not monitor.asking)


async def settled(pilot: Pilot[None], monitor: Monitor) -> list[list[tuple[str, str]]]:
    """What is shown once all is drawn, and drawing it again changes nothing."""
    shown = [cells_of(monitor)]

    def rests() -> bool:
        if any(table._require_update_dimensions for table in monitor.query(DataTable)):
            return False  # its columns are as wide as they were
        if any(one.group == "entry" and not one.is_finished for one in monitor.workers):
            return False  # a diff is asked for
        shown.append(cells_of(monitor))
        monitor.pane().draw()
        return len(shown) > RESTING and all(one == shown[-1] for one in shown[-RESTING:])

    await until(pilot, rests)
    return shown[-1]


async def until(pilot: Pilot[None], wanted: Callable[[], object]) -> None:
    for _ in range(200):
        if wanted():
            return
        await pilot.pause(0.02)
        await pilot.pause()  # until the process has nothing to do
    raise AssertionError("the screen does not come to rest")
