"""Schedules at work: firings that become runs, over restarts and failures."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gesso.agent import Runtime
from gesso.agent import clock as clock_module
from gesso.agent.clock import Clock
from gesso.agent.errors import ProjectError
from gesso.agent.trigger import CronTrigger, IntervalTrigger, Timed
from gesso.memory import Store
from scripted import engine, says
from waiting import wait_until, watching

HOUR = timedelta(hours=1)


def hours_ago(store: Store, trigger: Timed, hours: float) -> datetime:
    """The schedule was first seen, or fired last, so long ago."""
    last = datetime.now(UTC).replace(microsecond=0) - hours * HOUR
    store.schedules.first_seen("clerk", str(trigger), at=last)
    return last


def test_a_schedule_starts_runs_and_not_for_the_past(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent(
        "name: clerk\ntriggers:\n  - {every: 1s, message: Look.}\n"
        "  - {cron: 0 0 1 1 *, message: Happy new year., missed: all}"
    )
    scripted = engine(says("ok"))
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        with watching(runtime):
            wait_until(lambda: len(runtime.store.runs(state="done")) >= 2)
        runs = runtime.store.runs()
    assert {run.input for run in runs} == {"Look."}
    assert all(run.trigger.startswith("every 1s at 20") for run in runs)
    instants = [datetime.fromisoformat(run.trigger.split(" at ")[1]) for run in runs]
    assert instants == [instants[0] + timedelta(seconds=n) for n in range(len(instants))]


@pytest.mark.parametrize(("missed", "made"), [("once", [1]), ("skip", []), ("all", [1, 2, 3])])
def test_what_was_missed_is_made_good_once_as_the_file_says(
    project: Path, write_agent: Callable[..., Path], missed: str, made: list[int]
) -> None:
    write_agent(f"name: clerk\ntriggers: [{{every: 1h, message: Look., missed: {missed}}}]")
    trigger = IntervalTrigger(every="1h", message="Look.")
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        first = hours_ago(runtime.store, trigger, 3.5)

    def made_good() -> bool:
        return (
            runtime.store.schedules.first_seen("clerk", str(trigger), at=first) > first + 2 * HOUR
        )

    runs = []
    for _ in range(2):
        with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
            runtime.load()
            with watching(runtime):
                wait_until(made_good)
            runs = runtime.store.runs()
    assert [run.trigger for run in runs] == [
        f"every 1h at {(first + n * HOUR).isoformat()}" for n in made
    ]


def test_a_firing_that_fails_is_made_later_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clock_module, "NAP", timedelta(milliseconds=50))
    broken = CronTrigger(cron="0 * * * *", message="x", missed="all")
    sound = IntervalTrigger(every="2h", message="y")
    fired: list[tuple[str, datetime]] = []
    failures = [ProjectError("the skill is broken"), ValueError("a bug")]

    def fire(agent: str, trigger: Timed, instant: datetime) -> None:
        if trigger == broken and len(fired) >= 2 and failures:
            raise failures.pop()
        fired.append((str(trigger), instant))

    with Store(tmp_path / "store.db") as store:
        hours_ago(store, broken, 4.01)
        last = hours_ago(store, sound, 3)
        clock = Clock(store.schedules, fire)
        clock.set("clerk", [broken, sound])
        wait_until(lambda: not failures and len(fired) >= 7)
        clock.close()
    assert (str(sound), last + 2 * HOUR) in fired
    assert "tried again in a while: the skill is broken" in caplog.text
    assert "ValueError: a bug" in caplog.text
    instants = sorted({instant for name, instant in fired if name == str(broken)})
    assert instants == [instants[0] + n * HOUR for n in range(len(instants))]
    assert len(instants) in (4, 5)


def test_what_is_left_out_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "gesso")
    trigger = IntervalTrigger(every="1s", message="x", missed="all")
    fired = list[datetime]()
    with Store(tmp_path / "store.db") as store:
        first = hours_ago(store, trigger, 1)
        clock = Clock(store.schedules, lambda _, __, instant: fired.append(instant))
        clock.set("clerk", [trigger])
        wait_until(lambda: bool(caplog.records))
        clock.set("clerk", [])
        clock.close()
    assert fired[:1000] == [first + timedelta(seconds=n) for n in range(1, 1001)]
    assert f"every 1s: left out from {first + timedelta(seconds=1001)} to " in caplog.text
    assert "(1,000 are made)" in caplog.text
