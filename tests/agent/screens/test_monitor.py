"""The monitor, by its keys, over a runtime that is up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from gesso.agent import Runtime
from gesso.agent.control.client import Control
from gesso.agent.control.replay import Replay
from gesso.agent.control.server import controlled
from gesso.agent.errors import ProjectError
from gesso.agent.instance import held
from gesso.agent.log import log, published
from gesso.agent.recording import recorded, recording
from gesso.agent.screens.monitor.app import PANES, Monitor
from gesso.agent.screens.monitor.canvas import BLANK, drawn, told
from gesso.agent.screens.monitor.lines import Lines
from gesso.agent.screens.monitor.live import LINES, RUNS, Live
from gesso.agent.screens.monitor.run import RunPane
from gesso.engine import load_engine
from gesso.tools import Redactor
from rich.style import Style
from scripted import calls, engine, says
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Label, Static, TabbedContent, TextArea

Look = Callable[[Pilot[None], Monitor], Awaitable[None]]
FRONT = (
    "name: clerk\ntools: [write_file, ask_person]\npermissions: {ask: [write_file],"
    " allow: [ask_person]}"
)


@pytest.fixture
def state(project: Path, write_agent: Callable[..., Path]) -> Path:
    write_agent(FRONT)
    (project / ".gesso").mkdir(mode=0o700)
    return project / ".gesso"


@pytest.fixture
def runtime(project: Path, state: Path) -> Iterator[Runtime]:
    scripted = engine(calls(("write_file", {"path": "a.txt", "text": "hi"})), says("Written."))
    with up(project, state, scripted) as runtime:
        yield runtime


class up:  # noqa: N801 - reads as what it is: `with up(…)`
    """A runtime as `gesso up` has it, in this process."""

    def __init__(self, project: Path, state: Path, scripted: Any) -> None:
        self._project, self._state, self._engine = project, state, scripted
        self._stack = ExitStack()

    def __enter__(self) -> Runtime:
        runtime = self._stack.enter_context(Runtime(self._project, engine=self._engine))
        self._stack.enter_context(held(self._state))
        self._stack.enter_context(controlled(runtime, self._state))
        self._stack.enter_context(published(runtime.events, Redactor({})))
        return runtime

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def watched(state: Path, look: Look, *, size: tuple[int, int] = (120, 34)) -> None:
    """Do something on the monitor's screen."""

    async def run() -> None:
        async with Control(state) as control:
            monitor = Monitor(control, str(state.parent))
            async with monitor.run_test(size=size) as pilot:
                await until(pilot, lambda: monitor._lost != "connecting")
                await look(pilot, monitor)

    asyncio.run(run())


async def until(pilot: Pilot[None], wanted: Callable[[], Any]) -> Any:
    for _ in range(400):
        if found := wanted():
            return found
        await pilot.pause(0.05)
    said = [one.message for one in pilot.app._notifications]
    raise AssertionError((pilot.app.query_one("#head", Label).render(), said))


def text(monitor: Monitor, name: str) -> str:
    return str(monitor.query_one(name, Static).render())


def widest(lines: Lines) -> int:
    return max((len(line.text.rstrip()) for line in lines.lines), default=0)


def rows(monitor: Monitor, name: str) -> list[list[str]]:
    table = monitor.query_one(name, DataTable)
    return [[str(cell) for cell in table.get_row(key)] for key in table.rows]


def test_home_shows_the_agents_and_the_runs(runtime: Runtime, state: Path) -> None:
    run = runtime.run("clerk", "go")

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await until(pilot, lambda: rows(monitor, "#runs"))
        assert rows(monitor, "#runs")[0][:2] == [run.id, "✉ waiting"]
        assert rows(monitor, "#agents")[0][:2] == ["clerk", "✉"]
        await until(pilot, lambda: "1 wait for you" in text(monitor, "#head"))
        monitor.query_one("#runs", DataTable).focus()
        await pilot.press("enter")
        await until(pilot, lambda: run.id in text(monitor, "#run-head"))
        assert monitor.query_one(TabbedContent).active == "run"

    watched(state, look)


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (200, 60)])
def test_every_pane_has_its_key_and_fits(
    runtime: Runtime, state: Path, size: tuple[int, int]
) -> None:
    runtime.run("clerk", "go")

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        for theme in ("textual-dark", "textual-light"):
            for number, name in enumerate(PANES, 1):
                await pilot.press(str(number))
                await pilot.pause()
                assert monitor.query_one(TabbedContent).active == name
                pane = monitor.pane()
                assert pane.region.height > size[1] // 2
                assert pane.region.right <= size[0]
            assert monitor.theme == theme
            await pilot.press("t")

    watched(state, look, size=size)


def test_a_call_is_approved_by_a_key(runtime: Runtime, state: Path, project: Path) -> None:
    run = runtime.run("clerk", "go")

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await pilot.press("3")
        await until(pilot, lambda: rows(monitor, "#entries"))
        assert "path:\n  a.txt" in text(monitor, "#call")
        await until(pilot, lambda: "+hi" in text(monitor, "#call"))
        await pilot.press("a")
        await until(pilot, lambda: not rows(monitor, "#entries"))

    watched(state, look)
    runtime.deliver()
    assert runtime.wait(run.id).state == "done"
    assert (project / "a.txt").read_text() == "hi"


def test_a_call_is_changed_and_allowed_for_good(
    runtime: Runtime, state: Path, project: Path
) -> None:
    first, second = runtime.run("clerk", "go"), runtime.run("clerk", "go")

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await pilot.press("3")
        await until(pilot, lambda: "+hi" in text(monitor, "#call"))
        await pilot.press("e")
        await until(pilot, lambda: monitor.screen.query(TextArea))
        field = monitor.screen.query_one(TextArea)
        assert '"path": "a.txt"' in field.text
        field.text = '{"path": "b.txt", "text": "ho"}'
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(rows(monitor, "#entries")) == 1)
        await until(pilot, lambda: "+hi" in text(monitor, "#call"))
        await pilot.press("w")
        await until(pilot, lambda: monitor.screen.query(TextArea))
        assert monitor.screen.query_one(TextArea).text == "write_file(path=a.txt)"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "allowed for good: clerk write" in text(monitor, "#call"))

    watched(state, look)
    runtime.deliver()
    assert {runtime.wait(run.id).state for run in (first, second)} == {"done"}
    assert (project / "b.txt").read_text() == "ho"
    assert (project / "a.txt").read_text() == "hi"


def test_a_call_is_denied_by_a_key(runtime: Runtime, state: Path, project: Path) -> None:
    run = runtime.run("clerk", "go")

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await pilot.press("3")
        await until(pilot, lambda: rows(monitor, "#entries"))
        await pilot.press("d")
        await until(pilot, lambda: not rows(monitor, "#entries"))

    watched(state, look)
    runtime.deliver()
    assert runtime.wait(run.id).state == "done"
    assert not (project / "a.txt").exists()


def test_a_question_is_answered(project: Path, state: Path) -> None:
    scripted = engine(calls(("ask_person", {"question": "Which year?"})), says("2026 it is."))
    with up(project, state, scripted) as runtime:
        run = runtime.run("clerk", "go")

        async def look(pilot: Pilot[None], monitor: Monitor) -> None:
            await pilot.press("3")
            await until(pilot, lambda: rows(monitor, "#entries"))
            await pilot.press("a")
            await until(pilot, lambda: monitor.query_one("#answer", Input).has_focus)
            await pilot.press(*"2026", "enter")
            await until(pilot, lambda: not rows(monitor, "#entries"))

        watched(state, look)
        (entry,) = runtime.store.inbox.entries(open_only=False)
        assert (entry.verdict, entry.note) == ("approved", "2026")
        runtime.deliver()
        assert runtime.wait(run.id).state == "done"


def test_a_run_is_cancelled_from_its_pane(runtime: Runtime, state: Path) -> None:
    run = runtime.run("clerk", "go")

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        monitor.run_of(run.id)
        await until(pilot, lambda: run.id in text(monitor, "#run-head"))
        await pilot.press("x")
        await until(pilot, lambda: runtime.wait(run.id).state == "cancelled")
        await pilot.press("r")
        await until(pilot, lambda: len(monitor._notifications) > 1)
        said = [one.message for one in monitor._notifications]
        assert any("cannot be asked to resume" in message for message in said)

    watched(state, look)


def test_a_run_that_was_not_watched_is_told_from_the_store(runtime: Runtime, state: Path) -> None:
    run = runtime.run("clerk", "go")

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        monitor.run_of(run.id)
        lines = await until(pilot, lambda: monitor.query_one("#lines", Lines).lines)
        told = "\n".join(line.text for line in lines)
        assert "user: go" in told
        assert "call write_file(" in told

    watched(state, look)


def test_what_happens_is_seen_as_it_happens(runtime: Runtime, state: Path) -> None:
    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await pilot.press("2")
        await until(pilot, lambda: monitor._lost == "")
        run = await asyncio.to_thread(runtime.run, "clerk", "go")
        await until(pilot, lambda: run.id in monitor.live.runs)
        await until(pilot, lambda: "waiting" in text(monitor, "#run-head"))
        log = monitor.query_one("#lines", Lines)
        await until(pilot, lambda: any("waits: write_file(" in line.text for line in log.lines))
        assert any("turn 1" in line.text for line in log.lines)

    watched(state, look)


def test_memory_is_searched_and_forgotten(runtime: Runtime, state: Path) -> None:
    for fact in ("Ada keeps bees.", "Brandt pays late."):
        runtime.store.memory.remember(fact, source="test", at=datetime.now(UTC))

    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await pilot.press("4")
        await until(pilot, lambda: len(rows(monitor, "#facts")) == 2)
        await pilot.press("slash", *"bees", "enter")
        await until(pilot, lambda: rows(monitor, "#facts")[0][2] == "Ada keeps bees.")
        monitor.query_one("#facts", DataTable).focus()
        await pilot.press("x")
        await until(
            pilot, lambda: [f.text for f in runtime.store.memory.facts()] == ["Brandt pays late."]
        )

    watched(state, look)


def test_logs_are_filtered(runtime: Runtime, state: Path) -> None:
    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await pilot.press("7")
        await until(pilot, lambda: monitor._lost == "")
        log.warning("the bees are out")
        log.warning("the rain is in")
        lines = monitor.query_one("#log", Lines)
        await until(pilot, lambda: len(lines.lines) >= 2)
        await pilot.press("slash", *"bees")
        await until(pilot, lambda: len(lines.lines) == 1)
        assert "the bees are out" in lines.lines[0].text

    watched(state, look)


def test_a_lost_runtime_is_shown_and_found_again(
    project: Path, state: Path, write_agent: Callable[..., Path]
) -> None:
    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await until(pilot, lambda: "is not up" in text(monitor, "#head"))
        runtime = up(project, state, engine(says("hi")))
        await asyncio.to_thread(runtime.__enter__)
        try:
            await until(pilot, lambda: "● " in text(monitor, "#head"))
            await until(pilot, lambda: [row[0] for row in rows(monitor, "#agents")] == ["clerk"])
        finally:
            await asyncio.to_thread(runtime.__exit__)
        await until(pilot, lambda: "✗" in text(monitor, "#head"))

    watched(state, look)


def test_two_monitors_watch_one_runtime(runtime: Runtime, state: Path) -> None:
    async def both() -> None:
        async with Control(state) as one, Control(state) as two:
            first, second = Monitor(one, ""), Monitor(two, "")
            async with first.run_test() as pilot, second.run_test():
                await until(pilot, lambda: first._lost == second._lost == "")
                run = await asyncio.to_thread(runtime.run, "clerk", "go")
                await until(pilot, lambda: run.id in first.live.runs and run.id in second.live.runs)

    asyncio.run(both())


# recordings


def test_a_recorded_run_is_played_again(
    project: Path, state: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [read_file]")
    with (
        up(project, state, load_engine("sketch")) as runtime,
        recorded(runtime.events, state),
    ):
        run = runtime.run("clerk", "Read inbox/a.txt and tell me the total.")
    events = recording(state, "clerk")
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "run"
    assert {"turn", "draft", "commit", "usage"} <= set(kinds)

    async def play() -> None:
        monitor = Monitor(Replay(events, 1000), "", first="run")
        async with monitor.run_test(size=(120, 34)) as pilot:
            await until(pilot, lambda: run.id in text(monitor, "#run-head"))
            await until(pilot, lambda: monitor.live.runs[run.id].state == run.state)
            draft = monitor.live.runs[run.id].draft
            assert draft is not None
            assert draft["known"] == len(draft["pieces"])
            await until(pilot, lambda: "settled" in text(monitor, "#canvas-head"))
            await pilot.press("x")
            await until(pilot, lambda: len(monitor._notifications))

    asyncio.run(play())
    with pytest.raises(ProjectError, match="there is no such recording"):
        recording(state, "nobody")


# pieces


def test_a_canvas_tells_apart_what_is_certain_settled_and_doubted() -> None:
    draft = {"canvas": 1, "step": 3, "length": 6, "known": 2}
    draft |= {"pieces": ["{", "a", "b\x1b", "c"], "sure": [1.0, 0.9, 0.95, 0.1]}
    text = drawn(draft)
    assert text.plain == f"{{ab\\x1bc{BLANK * 2}"
    certain, settled, sure, doubted, _ = (cast(Style, span.style) for span in text.spans)
    assert (certain.bold, certain.underline) == (True, True)
    assert (settled.bold, settled.underline) == (True, False)
    assert sure.bgcolor != doubted.bgcolor
    assert (sure.italic, doubted.italic) == (False, True)
    assert told(draft) == "canvas 1 · step 3 · 2 of 4 settled, 1 of them certain · 74% sure"


def test_what_a_monitor_keeps_is_bounded() -> None:
    live = Live()
    at = datetime.now(UTC).isoformat()
    for number in range(5000):
        event = {"id": number, "at": at, "kind": "turn", "run": f"r{number}", "agent": "a"}
        live.take(event | {"data": {"number": 1}})
        live.take({"id": number, "at": at, "kind": "log", "run": None, "data": {"text": ""}})
    assert (len(live.runs), len(live.log)) == (RUNS, LINES)
    assert live.newest in live.runs


def test_a_run_is_followed_while_it_goes_on() -> None:
    live = Live()
    at = datetime.now(UTC).isoformat()

    def happens(run: str, kind: str, **data: Any) -> None:
        live.take({"id": 1, "at": at, "kind": kind, "run": run, "agent": "a", "data": data})

    happens("r1", "turn", number=1)
    happens("r2", "turn", number=1)
    assert live.newest == "r1"
    happens("r1", "run", state="done")
    happens("r2", "turn", number=2)
    assert live.newest == "r2"


def test_lines_are_wrapped_at_the_width_that_they_have(runtime: Runtime, state: Path) -> None:
    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await until(pilot, lambda: monitor._lost == "")
        log.warning("word " * 30)
        await pilot.press("7")
        lines = monitor.query_one("#log", Lines)
        await until(pilot, lambda: widest(lines) > 100)
        await pilot.press("1")
        await pilot.resize_terminal(80, 24)
        await pilot.press("7")
        await until(pilot, lambda: len(lines.lines) == 3 and widest(lines) < 80)

    watched(state, look)


def test_a_pane_follows_the_newest_unless_one_is_chosen(runtime: Runtime, state: Path) -> None:
    async def look(pilot: Pilot[None], monitor: Monitor) -> None:
        await until(pilot, lambda: monitor._lost == "")
        first = await asyncio.to_thread(runtime.run, "clerk", "go")
        second = await asyncio.to_thread(runtime.run, "clerk", "go")
        pane = monitor.query_one(RunPane)
        await until(pilot, lambda: pane.run == second.id)
        monitor.run_of(first.id)
        await pilot.pause()
        assert pane.run == first.id
        await pilot.press("f")
        assert pane.run == second.id

    watched(state, look)
