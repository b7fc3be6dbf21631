"""A call whose step runs again, in the same part of the run or in a later one."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gesso.memory import StoreError
from gesso.memory.audit import Audit
from gesso.tools import Tool, ToolError, tool
from scripted import calls, engine, says
from waiting import go_on, told, up

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def sent() -> list[str]:
    return []


@pytest.fixture
def send(sent: list[str]) -> Tool:
    @tool
    def send(text: str) -> str:
        """Send a text."""
        sent.append(text)
        if text == "bad":
            raise ToolError("nobody takes this")
        return "sent"

    return send


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The next event of a kind cannot be written."""

    def fail(kind: str) -> None:
        add = Audit.add

        def broken(self: Audit, call: str, part: int, event: Any, **more: Any) -> bool:
            if event == kind:
                monkeypatch.setattr(Audit, "add", add)
                raise StoreError("the disk is full")
            return add(self, call, part, event, **more)

        monkeypatch.setattr(Audit, "add", broken)

    return fail


@pytest.mark.parametrize("again", ["retry: {times: 1, wait: 0.01}", "retry: {times: 0}"])
def test_a_call_whose_end_could_not_be_written_is_not_made_again_unasked(
    project: Path,
    write_agent: Callable[..., Path],
    send: Tool,
    sent: list[str],
    full_disk: Callable[[str], None],
    again: str,
) -> None:
    write_agent(f"name: clerk\ntools: [send]\n{again}")
    full_disk("finished")
    with up(project, engine(calls(("send", {"text": "hi"})), says("ok")), send) as runtime:
        run = runtime.run("clerk", "hello")
        if run.state == "failed":
            assert runtime.store.resume(run.id)
        while run.state in ("retrying", "failed"):
            run = go_on(runtime, run)
        assert (run.state, sent) == ("waiting", ["hi"])
        (entry,) = runtime.store.inbox.entries()
        assert entry.kind == "interrupted"
        runtime.store.inbox.decide(entry.id, "approved", note="", at=NOW)
        assert go_on(runtime, run).state == "done"
        assert sent == ["hi", "hi"]


def test_a_call_whose_result_was_not_kept_is_neither_made_again_nor_held_for_a_repetition(
    project: Path,
    write_agent: Callable[..., Path],
    send: Tool,
    sent: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_agent("name: clerk\ntools: [send]\nretry: {times: 1, wait: 0.01}")
    two = calls(("send", {"text": "hi"}), ("send", {"text": "bad"}))
    with up(project, engine(two, says("ok")), send) as runtime:
        keep = runtime.store.add_messages

        def broken(run: str, conversation: Any) -> None:
            if any(m.role == "tool" and m.content == broken_at[0] for m in conversation):
                broken_at.pop(0)
                raise StoreError("the disk is full")
            keep(run, conversation)

        for result in ("sent", "error: nobody takes this"):
            broken_at = [result, ""]
            monkeypatch.setattr(runtime.store, "add_messages", broken)
            sent.clear()
            run = runtime.run("clerk", f"hello {result}")
            while run.state == "retrying":
                run = go_on(runtime, run)
            assert (run.state, sent) == ("done", ["hi", "bad"])
            assert told(runtime, run) == ["sent", "error: nobody takes this"]


def test_what_was_approved_is_not_made_where_the_permissions_deny_it_by_now(
    project: Path, write_agent: Callable[..., Path], send: Tool, sent: list[str]
) -> None:
    scripted = engine(calls(("send", {"text": "hi"})), says("ok"))
    write_agent("name: clerk\ntools: [send]\npermissions: {ask: [send]}")
    with up(project, scripted, send) as runtime:
        run = runtime.run("clerk", "hello")
        runtime.store.inbox.decide(1, "approved", note="", at=NOW)
    write_agent('name: clerk\ntools: [send]\npermissions: {ask: [send], deny: ["send(hi)"]}')
    with up(project, scripted, send) as runtime:
        assert go_on(runtime, run).state == "done"
        assert told(runtime, run) == ["error: not permitted: the agent's permissions deny send(hi)"]
        kinds = [event.kind for event in runtime.store.audit.events(run=run.id)]
    assert (sent, kinds) == ([], ["ask", "deny"])


def test_an_approved_call_of_a_tool_that_the_agent_lost_is_told_to_the_model(
    project: Path, write_agent: Callable[..., Path], send: Tool, sent: list[str]
) -> None:
    scripted = engine(calls(("send", {"text": "hi"})), says("ok"))
    write_agent("name: clerk\ntools: [send]\npermissions: {ask: [send]}")
    with up(project, scripted, send) as runtime:
        run = runtime.run("clerk", "hello")
        runtime.store.inbox.decide(1, "approved", note="", at=NOW)
    write_agent("name: clerk\ntools: [read_file]")
    with up(project, scripted, send) as runtime:
        assert go_on(runtime, run).state == "done"
        assert told(runtime, run) == ["error: no tool is called send"]
    assert sent == []


def test_a_call_that_was_stopped_as_a_repetition_is_made_when_the_person_resumes_the_run(
    project: Path, write_agent: Callable[..., Path], send: Tool, sent: list[str]
) -> None:
    write_agent("name: clerk\ntools: [send]")
    again = calls(("send", {"text": "hi"}))
    with up(project, engine(again, again, says("ok")), send) as runtime:
        run = runtime.run("clerk", "hello")
        assert (run.state, sent) == ("stopped", ["hi"])
        assert runtime.store.resume(run.id)
        assert go_on(runtime, run).state == "done"
    assert sent == ["hi", "hi"]
