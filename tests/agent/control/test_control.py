"""The control API of a runtime that is up, over HTTP on loopback."""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from gesso.agent import Runtime
from gesso.agent.control.server import TOKEN, Address, address_of, controlled
from gesso.agent.errors import InstanceError
from gesso.agent.events import KEPT, Events
from gesso.agent.instance import held
from gesso.engine import load_engine
from prometheus_client.parser import text_string_to_metric_families
from scripted import calls, engine, says

ROUTES = (
    ("GET", "/v1/home"),
    ("GET", "/v1/runs"),
    ("GET", "/v1/runs/r1"),
    ("POST", "/v1/runs/r1"),
    ("POST", "/v1/agents/clerk/messages"),
    ("GET", "/v1/inbox"),
    ("POST", "/v1/inbox/1"),
    ("GET", "/v1/inbox/1"),
    ("GET", "/v1/grants"),
    ("DELETE", "/v1/grants/1"),
    ("GET", "/v1/facts"),
    ("DELETE", "/v1/facts/1"),
    ("POST", "/v1/facts/1"),
    ("POST", "/v1/blocks/task"),
    ("GET", "/v1/blocks"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/j1"),
    ("GET", "/v1/cost"),
    ("GET", "/v1/settings"),
    ("GET", "/v1/events"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
)


@dataclass
class Control:
    """A client with its token."""

    runtime: Runtime
    address: Address
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.address.token}"}
        self.client = httpx.Client(base_url=self.address.url, headers=headers, timeout=10)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def control(project: Path, write_agent: Callable[..., Path]) -> Iterator[Control]:
    """A runtime with an agent that asks for what needs approval."""
    write_agent(
        "name: clerk\ndescription: Writes.\ntools: [write_file]\n"
        "permissions: {ask: [write_file]}\nbudget: {turns: 5}"
    )
    scripted = engine(calls(("write_file", {"path": "a.txt", "text": "hi"})), says("Written."))
    with (
        Runtime(project, engine=scripted) as runtime,
        controlled(runtime, project / ".gesso") as address,
    ):
        control = Control(runtime, address)
        with control.client:
            yield control


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X-Token": "x"}])
def test_without_the_token_nothing_is_told(
    control: Control, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = httpx.request(method, f"{control.address.url}{path}", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"error": "a token is needed"})


def test_nobody_else_can_read_the_token(control: Control, project: Path) -> None:
    file = project / ".gesso" / TOKEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert control.address.url.startswith("http://127.0.0.1:")


def test_a_runtime_is_found_while_it_is_up(project: Path) -> None:
    state = project / ".gesso"
    with (
        Runtime(project, engine=engine(says("hi"))) as runtime,
        held(state),
        controlled(runtime, state) as address,
    ):
        assert address_of(state) == address
    with pytest.raises(InstanceError, match="is not up: start it with gesso up"):
        address_of(state)


def test_home_says_how_it_stands(control: Control) -> None:
    control.runtime.run("clerk", "go")
    home = control.get("/v1/home")
    (clerk,) = home["agents"]
    assert (clerk["name"], clerk["description"], clerk["model"]) == ("clerk", "Writes.", "scripted")
    assert clerk["last"]["state"] == "waiting"
    assert (home["runs"], home["inbox"]) == ({"waiting": 1}, 1)
    assert home["throughput"]["now"] == pytest.approx(20 / 60)


def test_the_person_approves_and_the_run_goes_on(control: Control, project: Path) -> None:
    run = control.runtime.run("clerk", "go")
    (entry,) = control.get("/v1/inbox")
    assert (entry["kind"], entry["arguments"]["path"]) == ("approval", "a.txt")
    decided = control.client.post(f"/v1/inbox/{entry['id']}", json={"verdict": "approved"})
    assert decided.json()["verdict"] == "approved"
    control.runtime.deliver()
    assert control.runtime.wait(run.id).state == "done"
    assert (project / "a.txt").read_text() == "hi"
    again = control.client.post(f"/v1/inbox/{entry['id']}", json={"verdict": "denied"})
    assert again.status_code == 409
    assert "was approved already" in again.json()["error"]


def test_a_run_is_told_turn_by_turn(control: Control) -> None:
    run = control.runtime.run("clerk", "go")
    trace = control.get(f"/v1/runs/{run.id}")
    assert trace["run"]["state"] == "waiting"
    (turn,) = trace["turns"]
    assert turn["calls"][0]["text"].startswith("write_file(")
    assert turn["usage"]["output_tokens"] == 20
    assert [one["id"] for one in control.get("/v1/runs", agent="clerk", limit=1)] == [run.id]


def test_a_run_is_cancelled_and_cannot_be_resumed(control: Control) -> None:
    run = control.runtime.run("clerk", "go")
    answer = control.client.post(f"/v1/runs/{run.id}", json={"wanted": "cancel"})
    assert answer.json()["state"] == "cancelled"
    answer = control.client.post(f"/v1/runs/{run.id}", json={"wanted": "resume"})
    assert answer.status_code == 409


def test_an_agent_is_told_something(control: Control) -> None:
    told = control.client.post("/v1/agents/clerk/messages", json={"text": "go"})
    assert told.status_code == 202
    control.runtime.deliver()
    (run,) = control.get("/v1/runs")
    assert (run["trigger"], run["input"]) == ("message from person", "go")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "what"),
    [
        ("GET", "/v1/runs/none", None, 404, "there is no run none"),
        ("GET", "/v1/jobs/none", None, 404, "there is no job none"),
        ("GET", "/v1/runs?limit=0", None, 422, "query.limit"),
        ("GET", "/v1/runs?state=asleep", None, 422, "query.state"),
        ("POST", "/v1/agents/none/messages", {"text": "go"}, 404, "there is no agent none"),
        ("POST", "/v1/agents/clerk/messages", {"text": ""}, 422, "body.text"),
        ("POST", "/v1/inbox/99", {"verdict": "approved"}, 409, "there is no entry 99"),
        ("POST", "/v1/inbox/1", {"verdict": "maybe"}, 422, "body.verdict"),
        ("GET", "/v1/inbox/99", None, 409, "there is no entry 99"),
        ("DELETE", "/v1/grants/99", None, 409, "nothing was allowed as number 99"),
        ("POST", "/v1/facts/99", {"text": "a"}, 409, "99"),
        ("POST", "/v1/blocks/a-b", {"text": "a"}, 409, "is no label"),
        ("POST", "/v1/blocks/task", {"text": "a" * 2001}, 409, "more than its bound of 2000"),
        ("DELETE", "/v1/facts/99", None, 409, "99"),
        ("GET", "/nothing", None, 404, "Not Found"),
    ],
)
def test_what_is_wrong_is_said(
    control: Control, method: str, path: str, body: Any, status: int, what: str
) -> None:
    answer = control.client.request(method, path, json=body)
    assert answer.status_code == status
    assert what in answer.text


def test_the_figures_are_what_the_ledger_says(control: Control) -> None:
    control.runtime.run("clerk", "go")
    answer = control.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if "over" not in sample.labels
    }
    labels = {"agent": "clerk", "model": "scripted", "device": "cpu"}
    assert found["gesso_output_tokens_total"] == (labels, 20)
    assert found["gesso_generation_seconds_total"] == (labels, 0.75)
    assert found["gesso_unmetered_generations_total"] == (labels, 1)
    assert "gesso_joules_total" not in found
    assert found["gesso_runs"] == ({"state": "waiting"}, 1)
    assert found["gesso_inbox"] == ({}, 1)


def test_cost_is_what_the_command_says(control: Control) -> None:
    control.runtime.run("clerk", "go")
    cost = control.get("/v1/cost", by="agent")
    assert [row["name"] for row in cost["rows"]] == ["clerk"]
    assert len(cost["total"]["bills"]) == 3
    days, sums = cost["series"]["days"], cost["series"]["sums"]
    assert (len(days), {len(line) for line in sums.values()}) == (1, {1})
    assert {"name": "control_port", "value": 0} in control.get("/v1/settings")


def test_a_fact_is_said_anew_and_a_block_is_set(control: Control) -> None:
    memory = control.runtime.store.memory
    old = memory.remember("Ada keeps bees.", source="a.txt", at=datetime.now(UTC), agent="clerk")
    new = control.client.post(f"/v1/facts/{old.id}", json={"text": "Ada keeps hens."}).json()
    assert (new["text"], new["source"], new["agent"]) == ("Ada keeps hens.", "person", "clerk")
    assert memory.fact(old.id).superseded_by == new["id"]
    assert [fact["text"] for fact in control.get("/v1/facts")] == ["Ada keeps hens."]
    answer = control.client.post("/v1/blocks/task?agent=clerk", json={"text": "Rest."})
    assert (answer.json()["value"], answer.json()["agent"]) == ("Rest.", "clerk")
    assert [block["label"] for block in control.get("/v1/blocks")] == ["task"]


def test_cost_is_told_for_what_if(control: Control) -> None:
    control.runtime.run("clerk", "go")
    cost = control.get("/v1/cost", electricity=0.5, hardware="laptop", vs=["openai/gpt-4o"])
    assert cost["terms"]["electricity"] == 0.5
    assert len(cost["total"]["bills"]) == 1
    assert set(cost["series"]["sums"]) == {"here", cost["total"]["bills"][0]["name"]}
    answer = control.client.get("/v1/cost", params={"hardware": "abacus"})
    assert (answer.status_code, "abacus" in answer.text) == (409, True)


def test_home_knows_when_a_trigger_fires_next(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntriggers: [{every: 15m, message: Look.}, {folder: inbox}]")
    with (
        Runtime(project, engine=engine(says("hi"))) as runtime,
        controlled(runtime, project / ".gesso") as address,
    ):
        last = datetime(2026, 11, 20, 12, tzinfo=UTC)
        runtime.store.schedules.fired("clerk", "every 15m", last=last)
        control = Control(runtime, address)
        with control.client:
            (clerk,) = control.get("/v1/home")["agents"]
        assert [one["name"] for one in clerk["triggers"]] == ["every 15m", "folder inbox *"]
        assert [one["next"] for one in clerk["triggers"]] == ["2026-11-20T12:15:00Z", None]


# the stream


class Stream:
    """Reads server-sent events on a thread."""

    def __init__(self, control: Control, last: int | None = None) -> None:
        self.seen: list[dict[str, Any]] = []
        self._control, self._last = control, last
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._open.wait(5)

    def _read(self) -> None:
        headers = {} if self._last is None else {"Last-Event-ID": str(self._last)}
        with self._control.client.stream("GET", "/v1/events", headers=headers) as answer:
            self._open.set()
            try:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        self.seen.append(json.loads(line.removeprefix("data: ")))
            except httpx.HTTPError:
                return  # the server has ended

    def until(self, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        end = time.monotonic() + 10
        while not wanted(self.seen):
            assert time.monotonic() < end, self.seen
            time.sleep(0.01)
        return self.seen


def states(seen: list[dict[str, Any]]) -> list[str]:
    return [one["data"]["state"] for one in seen if one["kind"] == "run"]


def test_what_happens_is_streamed(control: Control) -> None:
    stream = Stream(control)
    stream.until(lambda seen: len(seen) == 1)  # that it begins now
    run = control.runtime.run("clerk", "go")
    seen = stream.until(lambda seen: states(seen)[-1:] == ["waiting"])
    kinds = [one["kind"] for one in seen]
    assert kinds == ["gap", "run", "turn", "usage", "call", "inbox", "run"]
    assert {one["run"] for one in seen[1:]} == {run.id}
    assert [one["id"] for one in seen] == sorted(one["id"] for one in seen)


def test_whoever_comes_back_gets_what_it_missed(control: Control) -> None:
    stream = Stream(control)
    last = stream.until(lambda seen: len(seen) == 1)[0]["id"]
    control.runtime.run("clerk", "go")
    back = Stream(control, last)
    seen = back.until(lambda seen: states(seen)[-1:] == ["waiting"])
    assert [one["kind"] for one in seen][:2] == ["run", "turn"], "without a gap"
    two = Stream(control, seen[-2]["id"])
    assert [one["kind"] for one in two.until(lambda seen: len(seen) > 0)] == ["run"]


def test_what_is_not_kept_any_more_is_a_gap() -> None:
    events = Events()
    events.publish("log")
    (first,) = events.after(0)[1:]
    for _ in range(KEPT + 5):
        events.publish("log")
    gap, *rest = events.after(first.id)
    assert gap.kind == "gap"
    assert len(rest) == KEPT
    assert [one.id for one in rest] == list(range(rest[0].id, rest[0].id + KEPT))
    assert events.after(rest[-1].id) == []
    assert [one.kind for one in events.after(rest[-2].id)] == ["log"]


def test_the_canvas_is_seen_while_it_comes_into_focus(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [read_file]")
    with (
        Runtime(project, engine=load_engine("sketch")) as runtime,
        controlled(runtime, project / ".gesso") as address,
    ):
        control = Control(runtime, address)
        stream = Stream(control)
        stream.until(lambda seen: len(seen) == 1)
        runtime.run("clerk", "Read inbox/a.txt and tell me the total.")
        seen = stream.until(lambda seen: any(one["kind"] == "usage" for one in seen))
        draft = next(one["data"] for one in seen if one["kind"] == "draft")
        assert len(draft["pieces"]) == len(draft["sure"]) <= draft["length"]
        assert all(0 <= sure <= 1 for sure in draft["sure"])
        assert draft["known"] <= len(draft["pieces"])
        commit = next(one["data"] for one in seen if one["kind"] == "commit")
        assert commit["canvas"] == 1
        control.client.close()
