"""Every key of the monitor: what it does, and that none is without a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

import pytest
from gesso.agent.control.client import Control
from gesso.agent.cost.hardware import profiles
from gesso.agent.screens.monitor.app import PANES, Monitor
from gesso.agent.screens.monitor.editor import Editor
from gesso.agent.screens.monitor.run import RunPane
from rich.text import Text
from scene import FOLDER, RUN, WAITING, Still, scene
from starlette.types import ASGIApp
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static, TabbedContent, TextArea

Key = tuple[str, str]
Check = Callable[["Hands"], Awaitable[None]]
ANYWHERE = "anywhere"
CHECKS: dict[Key, Check] = {}


class Hands:
    """A person at the monitor, in one of its panes."""

    def __init__(self, pilot: Pilot[None], monitor: Monitor, still: Still, key: str) -> None:
        self.pilot, self.monitor, self.still, self.key = pilot, monitor, still, key

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*(keys or (self.key,)))

    async def until(self, wanted: Callable[[], object]) -> None:
        for _ in range(1000):
            if wanted():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"{self.key} does nothing: {self.still.asked}")

    async def asks(self, path: str, **body: object) -> None:
        await self.until(lambda: self.still.asked)
        assert self.still.asked == [(path, body)]

    async def edits(self) -> TextArea:
        await self.until(lambda: self.monitor.screen.query(TextArea))
        return self.monitor.screen.query_one(TextArea)

    async def told(self, name: str, text: str) -> None:
        label = self.monitor.query_one(name, Static)
        await self.until(lambda: text in str(label.render()))

    def table(self, name: str) -> DataTable[Text]:
        return self.monitor.query_one(name, DataTable)

    def field(self, name: str) -> Input:
        return self.monitor.query_one(name, Input)


def key(pane: str, *keys: str) -> Callable[[Check], Check]:
    """This is the test of these keys of a pane."""

    def note(check: Check) -> Check:
        CHECKS.update({(pane, one): check for one in keys})
        return check

    return note


@key(ANYWHERE, *(str(number) for number in range(1, len(PANES) + 1)))
async def opens_its_pane(hands: Hands) -> None:
    await hands.press()
    wanted = list(PANES)[int(hands.key) - 1]
    await hands.until(lambda: hands.monitor.query_one(TabbedContent).active == wanted)


@key(ANYWHERE, "slash")
async def filters_what_is_shown(hands: Hands) -> None:
    await hands.until(lambda: hands.table("#runs").row_count > 1)
    await hands.press("slash", *"scout-9f")
    assert hands.field("#filter").has_focus
    await hands.until(lambda: hands.table("#runs").row_count == 1)


@key(ANYWHERE, "escape")
async def leaves_the_filter(hands: Hands) -> None:
    await hands.press("slash", "escape")
    await hands.until(lambda: hands.table("#agents").has_focus)
    assert not hands.field("#filter").display


@key(ANYWHERE, "question_mark")
async def shows_the_keys_and_hides_them(hands: Hands) -> None:
    await hands.press()
    await hands.until(lambda: hands.monitor.query("HelpPanel"))
    await hands.press()
    await hands.until(lambda: not hands.monitor.query("HelpPanel"))


@key(ANYWHERE, "t")
async def turns_light_into_dark(hands: Hands) -> None:
    before = hands.monitor.current_theme.dark
    await hands.press()
    await hands.until(lambda: hands.monitor.current_theme.dark is not before)


@key(ANYWHERE, "j", "k")
async def moves_as_the_arrows_do(hands: Hands) -> None:
    table = hands.table("#runs")
    await hands.until(lambda: table.row_count > 2)
    table.focus()
    table.move_cursor(row=1)
    await hands.press()
    await hands.until(lambda: table.cursor_row == {"j": 2, "k": 0}[hands.key])


@key(ANYWHERE, "q")
async def quits(hands: Hands) -> None:
    await hands.press()
    await hands.until(lambda: hands.monitor._exit)


@key("run", "f")
async def follows_the_newest(hands: Hands) -> None:
    pane = hands.monitor.query_one(RunPane)
    pane.follow(WAITING)
    await hands.press()
    await hands.until(lambda: pane.run == RUN)


@key("run", "p", "r", "x")
async def asks_it_of_the_run(hands: Hands) -> None:
    await hands.until(lambda: hands.monitor.query_one(RunPane).run == RUN)
    await hands.press()
    wanted = {"p": "pause", "r": "resume", "x": "cancel"}[hands.key]
    await hands.asks(f"/v1/runs/{RUN}", wanted=wanted)


@key("inbox", "a", "d")
async def decides_about_the_call(hands: Hands) -> None:
    await hands.until(lambda: hands.table("#entries").row_count == 2)
    await hands.press()
    verdict = {"a": "approved", "d": "denied"}[hands.key]
    await hands.asks("/v1/inbox/1", verdict=verdict, note="")


@key("inbox", "r")
async def answers_the_question(hands: Hands) -> None:
    await hands.until(lambda: hands.table("#entries").row_count == 2)
    hands.table("#entries").move_cursor(row=1)
    await hands.press("r", *"2026", "enter")
    await hands.asks("/v1/inbox/2", verdict="approved", note="2026")


@key("inbox", "e")
async def changes_the_call(hands: Hands) -> None:
    await hands.until(lambda: hands.table("#entries").row_count == 2)
    await hands.press("e")
    text = await hands.edits()
    text.text = '{"path": "b"}'
    await hands.press("ctrl+s")
    await hands.asks("/v1/inbox/1", verdict="approved", edited={"path": "b"})


@key("inbox", "w")
async def allows_it_for_good(hands: Hands) -> None:
    await hands.until(lambda: hands.table("#entries").row_count == 2)
    await hands.press()
    text = await hands.edits()
    text.text = "write_file"
    await hands.press("ctrl+s")
    await hands.asks("/v1/inbox/1", verdict="approved", always="write_file")


@key("editor", "ctrl+s")
async def is_done(hands: Hands) -> None:
    await hands.press("3")
    await changes_the_call(hands)


@key("editor", "escape")
async def leaves_it(hands: Hands) -> None:
    await hands.press("3")
    await hands.until(lambda: hands.table("#entries").row_count == 2)
    await hands.press("e")
    await hands.edits()
    await hands.press()
    await hands.until(lambda: not isinstance(hands.monitor.screen, Editor))
    assert not hands.still.asked


@key("cost", "plus", "minus")
async def asks_what_if_electricity_cost_something_else(hands: Hands) -> None:
    await hands.told("#what-if", "As it is: its own machine, 0.30 USD a kWh")
    await hands.press()
    price = {"plus": "0.35", "minus": "0.25"}[hands.key]
    await hands.told("#what-if", f"What if: its own machine, {price} USD a kWh")


@key("cost", "h")
async def asks_what_if_it_were_another_machine(hands: Hands) -> None:
    await hands.told("#what-if", "As it is")
    await hands.press()
    first = sorted(profiles())[0]
    await hands.told("#what-if", f"What if: {first}, ")


@key("cost", "c")
async def asks_what_other_models_would_charge(hands: Hands) -> None:
    await hands.told("#verdicts", "gpt 4o mini")
    await hands.press()
    text = await hands.edits()
    text.text = "openai/gpt-4o"
    await hands.press("ctrl+s")
    await hands.told("#verdicts", "gpt 4o:")


@key("cost", "0")
async def goes_back_to_how_it_is(hands: Hands) -> None:
    await asks_what_if_it_were_another_machine(Hands(hands.pilot, hands.monitor, hands.still, "h"))
    await hands.press()
    await hands.told("#what-if", "As it is: its own machine, 0.30 USD a kWh")


@key("memory", "e")
async def says_the_fact_anew_or_sets_the_block(hands: Hands) -> None:
    await hands.until(lambda: hands.table("#facts").row_count == 2)
    await hands.press()
    text = await hands.edits()
    assert text.text == "Ada keeps wasps."
    text.text = "Ada keeps hens."
    await hands.press("ctrl+s")
    await hands.asks("/v1/facts/3", text="Ada keeps hens.")
    hands.still.asked.clear()
    blocks = hands.table("#blocks")
    blocks.focus()
    blocks.move_cursor(row=1)
    await hands.until(lambda: blocks.has_focus and blocks.cursor_row == 1)
    await hands.press()
    text = await hands.edits()
    text.text = "Rest."
    await hands.press("ctrl+s")
    await hands.asks("/v1/blocks/task?agent=clerk", text="Rest.")


@key("memory", "x")
async def forgets_the_fact(hands: Hands) -> None:
    await hands.until(lambda: hands.table("#facts").row_count == 2)
    await hands.press()
    await hands.asks("DELETE /v1/facts/3")


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ASGIApp]:
    with scene(tmp_path_factory.mktemp("scene")) as routes:
        yield routes


@pytest.mark.parametrize(("pane", "key"), CHECKS)
def test_a_key_does_what_it_says(routes: ASGIApp, pane: str, key: str) -> None:
    async def look() -> None:
        still = Still(routes)
        first = pane if pane in PANES else "home"
        monitor = Monitor(cast(Control, still), FOLDER, first=first)
        async with monitor.run_test(size=(120, 34)) as pilot:
            hands = Hands(pilot, monitor, still, key)
            await hands.until(lambda: monitor.home is not None and monitor.live.newest)
            await CHECKS[pane, key](hands)

    asyncio.run(look())


def test_every_key_has_its_test() -> None:
    bound = {(ANYWHERE, key) for key in keys_of(Monitor.BINDINGS)}
    bound |= {("editor", key) for key in keys_of(Editor.BINDINGS)}
    for name, pane in PANES.items():
        bound |= {(name, key) for key in keys_of(pane.__dict__.get("BINDINGS", ()))}
    assert bound == set(CHECKS)


def keys_of(bindings: object) -> set[str]:
    found = Binding.make_bindings(cast("list[BindingType]", bindings))
    return {one.key for one in found}
