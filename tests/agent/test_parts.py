"""Runs that wait: for approval, for an answer, for the person to resume them, for another try."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gesso.engine import EngineError, Request, Result
from gesso.memory import Letter, Verdict
from gesso.tools import Context, Tool, tool
from gesso.tools.tool import PersonNeeded
from scripted import calls, engine, requests, says
from waiting import go_on, told, up

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def sent() -> list[str]:
    return []


@pytest.fixture
def send(sent: list[str]) -> Tool:
    @tool(sends=True)
    def send(text: str) -> str:
        """Send a text."""
        sent.append(text)
        return "sent"

    return send


@pytest.mark.parametrize(
    ("verdict", "note", "result", "made"),
    [
        ("approved", "", "sent", ["hi"]),
        ("denied", "not to them", "error: the person refused: not to them", []),
    ],
)
def test_an_approval_outlives_the_process(
    project: Path,
    write_agent: Callable[..., Path],
    send: Tool,
    sent: list[str],
    verdict: Verdict,
    note: str,
    result: str,
    made: list[str],
) -> None:
    write_agent("name: clerk\ntools: [send]\npermissions: {ask: [send]}")
    scripted = engine(calls(("send", {"text": "hi"})), says("Done."))
    with up(project, scripted, send) as runtime:
        run = runtime.run("clerk", "hello")
        assert run.state == "waiting"
        (entry,) = runtime.store.inbox.entries()
        assert (entry.kind, entry.text) == ("approval", 'send({"text": "hi"})')
        assert go_on(runtime, run).state == "waiting", "nobody has said a word"
    with up(project, scripted, send) as runtime:
        runtime.store.inbox.decide(entry.id, verdict, note=note, at=NOW)
        ended = go_on(runtime, run)
        assert (ended.state, ended.part) == ("done", 1)
        assert told(runtime, run) == [result]
        kinds = [event.kind for event in runtime.store.audit.events(run=run.id)]
    assert sent == made
    assert kinds == (["ask", "begun", "finished"] if made else ["ask"])
    assert len(requests(scripted)) == 2, "no turn was written twice"


def test_a_question_is_answered_by_the_person(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [ask_person]")
    scripted = engine(calls(("ask_person", {"question": "Which year?"})), says("2026 it is."))
    with up(project, scripted) as runtime:
        run = runtime.run("clerk", "hello")
        assert (run.state, run.reason) == ("waiting", "asks: Which year?")
        (entry,) = runtime.store.inbox.entries()
        runtime.store.inbox.decide(entry.id, "approved", note="2026", at=NOW)
        assert go_on(runtime, run).state == "done"
        assert told(runtime, run) == ["2026"]


def test_a_message_to_the_person_holds_nothing_up(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [send_message]")
    message = {"to": "person", "text": "All filed."}
    with up(project, engine(calls(("send_message", message)), says("ok"))) as runtime:
        assert runtime.run("clerk", "hello").state == "done"
        (entry,) = runtime.store.inbox.entries()
    assert (entry.kind, entry.text, entry.agent) == ("message", "All filed.", "clerk")


def test_what_a_person_tells_an_agent_is_one_run(project: Path) -> None:
    with up(project, engine(says("Hello."))) as runtime:
        for _ in range(2):
            runtime.store.mail.post(Letter("k", "clerk", "person", "Good morning", NOW))
            runtime.deliver()
        (run,) = runtime.store.runs()
        assert runtime.wait(run.id).state == "done"
        assert (run.trigger, run.input) == ("message from person", "Good morning")


def test_a_message_waits_for_its_agent(project: Path) -> None:
    with up(project, engine(says("Hello."))) as runtime:
        clerk = runtime.agents.pop("clerk")
        runtime.store.mail.post(Letter("k", "clerk", "person", "Good morning", NOW))
        runtime.deliver()
        assert runtime.store.runs() == []
        runtime.agents["clerk"] = clerk
        runtime.deliver()
        assert len(runtime.store.runs()) == 1


def test_an_agent_gives_itself_a_message_for_later(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [schedule]")
    later = {"when": "in 1s", "text": "Look again."}
    scripted = engine(calls(("schedule", later)), says("ok"))
    with up(project, scripted) as runtime:
        runtime.run("clerk", "hello")
        (letter,) = runtime.store.mail.waiting()
        runtime.deliver()
        assert len(runtime.store.runs()) == 1, "it is not due"
        assert runtime.store.mail.due(letter.due) == [letter]
        assert (letter.agent, letter.sender, letter.text) == ("clerk", "clerk", "Look again.")


@pytest.mark.parametrize("when", ["soon", "in 3 fortnights", "2001-01-01T00:00+00:00"])
def test_a_time_that_is_none_or_past_is_told_to_the_model(
    project: Path, write_agent: Callable[..., Path], when: str
) -> None:
    write_agent("name: clerk\ntools: [schedule]")
    scripted = engine(calls(("schedule", {"when": when, "text": "x"})), says("ok"))
    with up(project, scripted) as runtime:
        run = runtime.run("clerk", "hello")
        assert told(runtime, run)[0].startswith("error: schedule: when: ")
        assert runtime.store.mail.waiting() == []


def test_what_broke_is_tried_again_and_then_given_up(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    seeds: list[int | None] = []

    def broken(request: Request) -> Result:
        seeds.append(request.seed)
        if len(seeds) < 3:
            raise OSError("the device is busy")
        return says("Now it works.")

    write_agent("name: clerk\nretry: {times: 2, wait: 0.01}")
    with up(project, engine(broken)) as runtime:
        run = runtime.run("clerk", "hello")
        assert run.state == "retrying"
        assert run.reason == "OSError: the device is busy; tries again in 0.01 s (1 of 2)"
        while (run := go_on(runtime, run)).state == "retrying":
            pass
        assert (run.state, run.part) == ("done", 2)
    assert len(set(seeds)) == 3, "another try has another seed"
    write_agent("name: clerk\nretry: {times: 1, wait: 0.01}")
    seeds.clear()
    with up(project, engine(broken)) as runtime:
        run = runtime.run("clerk", "hello")
        while (run := go_on(runtime, run)).state == "retrying":
            pass
        assert (run.state, run.reason) == ("failed", "OSError: the device is busy")


def test_what_cannot_go_better_is_not_tried_again(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    def too_long(request: Request) -> Result:
        raise EngineError("the prompt is too long")

    write_agent("name: clerk\nretry: {times: 5, wait: 0.01}")
    with up(project, engine(too_long)) as runtime:
        assert runtime.run("clerk", "hello").state == "failed"


def test_a_run_is_paused_at_its_next_step_and_resumed(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [list_files]")

    def pause(request: Request) -> Result:
        (run,) = runtime.store.runs()
        assert runtime.store.want(run.id, "pause", at=NOW)
        return calls(("list_files", {"folder": "."}))

    with up(project, engine(pause, says("Done."))) as runtime:
        run = runtime.run("clerk", "hello")
        assert (run.state, run.reason) == ("paused", "by the person")
        assert told(runtime, run) == [], "the turn was kept, the call not begun"
        assert go_on(runtime, run).state == "paused"
        assert runtime.store.resume(run.id)
        assert go_on(runtime, run).state == "done"
        assert len(told(runtime, run)) == 1


def test_a_run_is_cancelled_for_good(project: Path, write_agent: Callable[..., Path]) -> None:
    write_agent("name: clerk\ntools: [ask_person]")
    with up(project, engine(calls(("ask_person", {"question": "?"})))) as runtime:
        run = runtime.run("clerk", "hello")
        assert runtime.store.want(run.id, "cancel", at=NOW)
        assert go_on(runtime, run).state == "cancelled"
        assert not runtime.store.resume(run.id)
        assert not runtime.store.want(run.id, "pause", at=NOW)


def test_a_run_that_a_budget_ended_goes_on_with_a_larger_one(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    turns = [calls(("list_files", {"folder": folder})) for folder in (".", "inbox", "agents")]
    front = "name: clerk\ntools: [list_files]\nbudget: {turns: %d}"
    write_agent(front % 2)
    with up(project, engine(*turns, says("ok"))) as runtime:
        run = runtime.run("clerk", "hello")
        assert (run.state, run.reason) == ("stopped", "the budget of 2 turns is spent")
    write_agent(front % 9)
    with up(project, engine(*turns, says("ok"))) as runtime:
        assert runtime.store.resume(run.id)
        assert go_on(runtime, run).state == "done"
        assert [entry.key for entry in list(runtime.store.ledger.entries(run=run.id))] == [
            *(f"{run.id}/0", f"{run.id}/1"),
            *(f"{run.id}/2/1", f"{run.id}/3/1"),
        ]


def test_calls_that_fail_one_after_another_end_a_run(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [read_file]")
    turns = [calls(("read_file", {"path": f"{n}.txt"})) for n in range(9)]
    with up(project, engine(*turns)) as runtime:
        run = runtime.run("clerk", "hello")
    assert run.state == "stopped"
    assert run.reason == "5 calls in a row failed, the last with: 4.txt: No such file or directory"


def test_a_turn_that_says_nothing_ends_a_run(project: Path) -> None:
    with up(project, engine(says(" \n"))) as runtime:
        run = runtime.run("clerk", "hello")
    assert (run.state, run.reason) == ("stopped", "turn 1 says nothing")


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("turns: 3", "the day's budget of 3 turns is spent"),
        ("tokens: 350", "the day's budget of 350 tokens is spent"),
        ("seconds: 2", "the day's budget of 2 seconds is spent"),
        (
            "dollars: 0.00005",
            "the day's budget of 5e-05 dollars at google/gemma-4-26b-a4b-it-maas is spent",
        ),
    ],
)
def test_a_day_has_a_budget_over_all_runs(
    project: Path, write_agent: Callable[..., Path], day: str, reason: str
) -> None:
    write_agent(f"name: clerk\nbudget: {{day: {{{day}}}}}")
    with up(project, engine(says("ok"))) as runtime:
        ended = [runtime.run("clerk", "hello") for _ in range(4)]
    assert [run.state for run in ended] == ["done", "done", "done", "stopped"]
    assert ended[-1].reason == reason


def test_runs_of_one_agent_wait_for_each_other_and_those_of_two_do_not(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [meet]")
    (project / "agents" / "other.md").write_text("---\nname: other\ntools: [meet]\n---\nGo.")
    under_way: list[str] = []
    most: list[int] = []
    both = threading.Barrier(2)

    @tool(idempotent=True)
    def meet(who: str) -> str:
        """Meet."""
        under_way.append(who)
        most.append(under_way.count(who))
        if len(most) < 3:
            both.wait(20)
        under_way.remove(who)
        return "met"

    def turn(request: Request) -> Result:
        return calls(("meet", {"who": request.messages[1].content}))

    with up(project, engine(turn, says("ok")), meet) as runtime:
        runs = [
            runtime.enqueue(name, name, key=str(n), trigger="test")
            for n in range(2)
            for name in ("clerk", "other")
        ]
        assert {runtime.wait(run).state for run in runs} == {"done"}
    assert max(most) == 1


def test_a_secret_is_in_no_row_of_the_store(
    project: Path, write_agent: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool
    def reveal(context: Context) -> str:
        """Reveal."""
        return "the key is " + context.secrets["API_KEY"]

    @tool
    def check(context: Context) -> str:
        """Check."""
        raise PersonNeeded(f"Is {context.secrets['API_KEY']} right?")

    monkeypatch.setenv("API_KEY", "s3cr3t-s3cr3t")
    write_agent("name: clerk\ntools: [reveal, check]\nsecrets: [API_KEY]")
    scripted = engine(calls(("reveal", {})), calls(("check", {})))
    with up(project, scripted, reveal, check) as runtime:
        assert runtime.run("clerk", "hello").state == "waiting"
    for file in (project / ".gesso").glob("*.db*"):
        assert b"s3cr3t-s3cr3t" not in file.read_bytes()
