"""What was told to agents, and runs that should go on: nothing is lost, doubled, or in the way."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import Runtime
from gesso.agent.durable import Journal
from gesso.engine import Request, Result
from gesso.memory import Letter, StoreError
from scripted import calls, engine, says
from sqlalchemy.exc import OperationalError
from waiting import wait_until, watching

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SECOND = "---\nname: second\nskills: [gone]\ntriggers: [{from: clerk}]\n---\nListen."


def skill(project: Path) -> Path:
    folder = project / "skills" / "gone"
    folder.mkdir(parents=True)
    file = folder / "SKILL.md"
    file.write_text("---\nname: gone\ndescription: For a while.\n---\nDo.")
    return file


def state(runtime: Runtime, run: str) -> str:
    known = runtime.store.run(run)
    assert known is not None
    return known.state


def test_a_message_that_cannot_be_taken_up_holds_up_no_other(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = skill(project)
    (project / "agents" / "second.md").write_text(SECOND)
    with Runtime(project, engine=engine(says("ok"))) as runtime:
        text = file.read_text()
        file.unlink()
        for key, agent in (("1", "second"), ("2", "clerk")):
            runtime.store.mail.post(Letter(key, agent, "person", "hello", NOW))
        for _ in range(3):
            runtime.deliver()
        assert [run.agent for run in runtime.store.runs()] == ["clerk"]
        held = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert len(held) == 1, "it is told once"
        assert held[0].getMessage().startswith("message 1 to second is held: ")
        file.write_text(text)
        runtime.deliver()
        assert {run.agent for run in runtime.store.runs()} == {"clerk", "second"}


def test_deliveries_outlive_a_failure_of_the_journal(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue, failures = Journal.enqueue, [1, 2]

    def broken(self: Journal, *arguments: Any, **more: Any) -> None:
        if failures:
            failures.pop()
            raise OperationalError("", {}, OSError("the disk is full"))
        enqueue(self, *arguments, **more)

    monkeypatch.setattr(Journal, "enqueue", broken)
    with Runtime(project, engine=engine(says("ok"))) as runtime, watching(runtime):
        runtime.store.mail.post(Letter("k", "clerk", "person", "hello", NOW))
        wait_until(lambda: [run.state for run in runtime.store.runs()] == ["done"])


def test_a_delivery_that_is_repeated_while_a_later_part_is_queued_starts_nothing_anew(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [ask_person]")
    scripted = engine(calls(("ask_person", {"question": "?"})), says("ok"))

    def deliver(runtime: Runtime) -> str:
        return runtime.enqueue("clerk", "hello", key="k", trigger="test")

    with Runtime(project, engine=scripted) as runtime:
        run = deliver(runtime)
        assert runtime.wait(run).state == "waiting"
        runtime._journal.tidy(datetime.now(UTC))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.store.inbox.decide(1, "approved", note="yes", at=NOW)
        runtime.deliver()
        assert deliver(runtime) == run
    with Runtime(project, engine=scripted) as runtime:
        assert runtime.wait(run).state == "done"
        runtime._journal.wait(f"{run}+1")
        assert runtime._journal.fate(run) == "unknown"
        assert len(runtime.store.messages(run)) == 5


def test_a_repeated_delivery_is_told_nothing_new(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\nrecall: 3")
    with Runtime(project, engine=engine(says("ok"))) as runtime:
        fact = runtime.store.memory.remember("Ada likes tea", source="chat", at=NOW)
        question = "What does Ada like?"
        runs = {runtime.enqueue("clerk", question, key="k", trigger="test") for _ in range(3)}
        assert [runtime.wait(run).state for run in runs] == ["done"]
        assert runtime.store.memory.fact(fact.id).uses == 1


def test_a_run_that_was_given_up_is_failed_and_can_be_resumed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Runtime(project, engine=engine(says("ok"), says("ok"))) as runtime:
        end_run = runtime.store.end_run

        def full(*arguments: Any, **more: Any) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(runtime.store, "end_run", full)
        run = runtime.enqueue("clerk", "hello", key="k", trigger="test")
        wait_until(lambda: runtime._journal.fate(run) == "broken")
        monkeypatch.setattr(runtime.store, "end_run", end_run)
        with watching(runtime):
            wait_until(lambda: state(runtime, run) == "failed")
            assert runtime.store.resume(run)
            wait_until(lambda: state(runtime, run) == "done")


def test_a_run_that_goes_on_at_once_knows_the_other_agents(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    """The journal goes on with what it has before the project is loaded."""
    skill(project)
    (project / "agents" / "second.md").write_text(SECOND)
    write_agent("name: clerk\ntools: [send_message]")

    def tell(request: Request) -> Result:
        return calls(("send_message", {"to": "second", "text": "hello"}))

    scripted = engine(tell, says("ok"))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        run = runtime.enqueue("clerk", "hello", key="k", trigger="test")
    with Runtime(project, engine=scripted) as runtime:
        assert runtime.wait(run).state == "done"
        assert [letter.agent for letter in runtime.store.mail.waiting()] == ["second"]
