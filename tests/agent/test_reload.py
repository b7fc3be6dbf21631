"""Agents' files that change, come and go while everything is up."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from gesso.agent import Runtime
from gesso.agent.webhook import sign
from gesso.engine import Request, Result
from scripted import calls, engine, requests, says
from waiting import wait_until, watching

INBOX = "name: clerk\ntriggers: [{folder: inbox}]"


@pytest.fixture(autouse=True)
def _whole_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gesso")


def inputs(runtime: Runtime) -> list[str]:
    return [run.input for run in runtime.store.runs()]


def test_a_file_that_changes_is_taken_in_with_its_triggers(
    project: Path, write_agent: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    (project / "outbox").mkdir()
    write_agent(INBOX)
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime):
            (project / "inbox" / "a.txt").write_text("A")
            wait_until(lambda: inputs(runtime) == ["New file: inbox/a.txt"])
            write_agent("name: clerk\ntriggers: [{folder: outbox}]", "Do it better.")
            wait_until(lambda: "clerk: watching outbox" in caplog.text)
            assert runtime.agents["clerk"].instructions == "Do it better."
            (project / "inbox" / "b.txt").write_text("B")
            (project / "outbox" / "c.txt").write_text("C")
            wait_until(lambda: inputs(runtime)[1:] == ["New file: outbox/c.txt"])
            write_agent("name: clerk\ntriggers: [{every: 1s, message: Look.}]")
            wait_until(lambda: inputs(runtime)[2:3] == ["Look."])


def test_a_broken_file_is_logged_and_the_former_definition_stays(
    project: Path, write_agent: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_agent(INBOX)
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime):
            write_agent("name: clerk\ncolour: red\ntriggers: []")
            wait_until(lambda: f"{path}:3: colour: unknown field" in caplog.text)
            (project / "inbox" / "a.txt").write_text("A")
            wait_until(lambda: inputs(runtime) == ["New file: inbox/a.txt"])
            write_agent("name: clerk\ntriggers: []")
            wait_until(lambda: not runtime.agents["clerk"].triggers)


def test_an_agent_that_comes_starts_and_one_that_goes_stops(
    project: Path, write_agent: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    first = write_agent("name: clerk")
    second = project / "agents" / "second.md"
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime):
            second.write_text("---\nname: second\ntriggers: [{folder: inbox}]\n---\nGo.")
            wait_until(lambda: "second: watching inbox" in caplog.text)
            (project / "inbox" / "a.txt").write_text("A")
            wait_until(lambda: len(inputs(runtime)) == 1)
            second.unlink()
            wait_until(lambda: "second: triggers: none" in caplog.text)
            (project / "inbox" / "b.txt").write_text("B")
            first.rename(second)
            wait_until(lambda: "clerk: gone with its file" in caplog.text)
            wait_until(lambda: set(runtime.agents) == {"clerk"})
            second.write_text(second.read_text().replace("name: clerk", INBOX.replace("k", "ks")))
            wait_until(lambda: set(runtime.agents) == {"clerks"})
            wait_until(lambda: len(inputs(runtime)) == 3)
    assert "not queued" not in caplog.text


def test_a_webhook_comes_and_goes_with_its_file(
    project: Path,
    write_agent: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK", "a secret that nobody knows")
    headers = {"X-Hub-Signature-256": sign("a secret that nobody knows", b"hello")}
    write_agent("name: clerk")
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime):
            write_agent("name: clerk\ntriggers: [{webhook: bell, secret: HOOK}]")
            wait_until(lambda: "listening on " in caplog.text)
            (url,) = re.findall(r"listening on (\S+)", caplog.text)
            assert httpx.post(url, content=b"hello", headers=headers).status_code == 202
            write_agent("name: clerk")
            wait_until(lambda: "clerk: triggers: none" in caplog.text)

            def gone() -> bool:
                try:
                    return httpx.post(url, content=b"hello", headers=headers).status_code == 404
                except httpx.ConnectError:
                    return True

            wait_until(gone)


def test_a_run_keeps_the_definition_that_it_began_with(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent(f"{INBOX}\ntools: [list_files]", "Old.")
    begun, changed = threading.Event(), threading.Event()

    def slow(request: Request) -> Result:
        begun.set()
        assert changed.wait(20)
        return calls(("list_files", {"folder": "."}))

    scripted = engine(slow, says("ok"))
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        with watching(runtime):
            (project / "inbox" / "a.txt").write_text("A")
            assert begun.wait(20)
            write_agent("name: clerk", "New.")
            wait_until(lambda: runtime.agents["clerk"].instructions == "New.")
            changed.set()
            wait_until(lambda: bool(runtime.store.runs(state="done")))
    assert [request.messages[0].content for request in requests(scripted)] == ["Old.", "Old."]
