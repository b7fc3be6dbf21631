"""Agents and jobs whose model is behind an address: they do not notice, and are metered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gesso.agent import Runtime, extract
from gesso.agent.doctor import examine
from gesso.agent.models import engine_of
from gesso.agent.settings import Settings, read_settings
from gesso.engine import Message, RemoteEngine, Request, RequestError, remote
from gesso.memory import LedgerEntry, Run, Store
from gesso.tools import SecretError
from served import Body, Reply, calls, refuses, says, served

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "total": {"type": "number"}},
}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAIT_SECONDS", 0.01)


def carried_out(
    project: Path, url: str, message: str = "New file: inbox/a.txt"
) -> tuple[Run, list[LedgerEntry]]:
    """One run of the project's agent with the model `m` of that address; its ledger."""
    (project / "inbox" / "a.txt").write_text("Brandt & Sons\nTotal 3.20\n")
    settings = Settings(model=f"{url}#m")
    with Runtime(project, settings=settings, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", message)
        return run, list(runtime.store.ledger.entries(run=run.id))


def clerk(body: Body) -> Reply:
    """Reads the file, saves its first line, and is done."""
    last = body["messages"][-1]
    if last["role"] == "user":
        return calls(("read_file", {"path": "inbox/a.txt"}))
    if last["role"] == "tool" and last["content"].startswith("Brandt"):
        return calls(("save_record", {"company": "Brandt & Sons"}))
    return says("Saved.")


def test_a_run_reads_saves_and_answers(project: Path) -> None:
    with served(clerk) as (url, _):
        run, entries = carried_out(project, url)
    assert (run.state, run.model) == ("done", f"{url}#m")
    assert [(one.model, one.device) for one in entries] == [("m", "remote")] * 3
    with Store(project / ".gesso" / "store.db") as store:
        assert [dict(record.data) for record in store.records()] == [{"company": "Brandt & Sons"}]


def test_trouble_on_the_way_is_charged_once(project: Path) -> None:
    """Busy, cut off, no schema, a call in the text, an answer that is not valid: one row a turn."""
    refused = refuses(400, "tools: strict is not supported")
    trouble = [
        refuses(429, "slow down", Retry_After="0.01"),
        refused,
        Reply(200, says("Half an answer.").body, cut=True),
        refuses(503, "loading the model"),
        calls(("read_file", {"pfad": "inbox/a.txt"})),
        says('<tool_call>{"name": "read_file", "arguments": {"path": "inbox/a.txt"}}</tool_call>'),
    ]

    def troubled(body: Body) -> Reply:
        return trouble.pop(0) if trouble else clerk(body)

    with served(troubled) as (url, server):
        run, entries = carried_out(project, url)
    assert run.state == "done"
    assert [one.prompt_tokens for one in entries] == [200, 100, 100]
    assert len({one.key for one in entries}) == 3
    assert not any(tool["function"].get("strict") for tool in server.asked[-1]["tools"]), (
        "what the server refused is not sent again"
    )


def test_a_run_that_gets_no_valid_answer_says_why_and_is_charged(project: Path) -> None:
    with served([calls(("read_file", {"pfad": "a"}))]) as (url, server):
        run, entries = carried_out(project, url)
    assert run.state == "failed"
    assert run.reason is not None
    assert "3 answers, none valid: read_file:" in run.reason
    assert [one.prompt_tokens for one in entries] == [300]
    assert len(server.asked) == 3


def test_a_server_that_goes_is_tried_again_by_a_later_part(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [list_files]\nretry: {times: 2, wait: 0.01}")
    gone = True

    def answer(body: Body) -> Reply:
        return refuses(503, "gone") if gone else says("Here.")

    with served(answer) as (url, _):
        settings = Settings(model=f"{url}#m")
        with Runtime(project, settings=settings, listen=False) as runtime:
            runtime.load()
            run = runtime.run("clerk", "hello")
            assert run.state == "retrying"
            assert "status 503: gone" in (run.reason or "")
            gone = False


def test_a_key_that_is_refused_ends_the_run_with_what_to_do(project: Path) -> None:
    with served([refuses(401, "no key")]) as (url, _):
        run, entries = carried_out(project, url)
    assert run.state == "failed"
    assert "remote_keys" in (run.reason or "")
    assert entries == []


def test_documents_become_records(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Invoice of Ann Lee, 30 euros")
    (tmp_path / "b.txt").write_text("Invoice of Bo Ray, 40 euros")

    def read(body: Body) -> Reply:
        name, total = ("Ann Lee", 30) if "Ann" in str(body["messages"]) else ("Bo Ray", 40)
        return says(json.dumps({"name": name, "total": total}))

    with served(read) as (url, _):
        engine = RemoteEngine(url, "m")
        found = list(extract(SCHEMA, [tmp_path], engine=engine))
    assert [record.value for record in found] == [
        {"name": "Ann Lee", "total": 30},
        {"name": "Bo Ray", "total": 40},
    ]
    assert [record.error for record in found] == [None, None]


def test_an_address_is_shown_its_own_key_only(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = Request([Message("user", "Hello")])
    with served([says("Hello.")]) as (url, server), served([says("Hello.")]) as (other, elsewhere):
        (project / "gesso.toml").write_text(f'remote_keys = {{"{url}" = "THEIR_KEY"}}\n')
        settings = read_settings(project)
        with pytest.raises(SecretError, match="THEIR_KEY is missing"):
            engine_of(f"{url}#m", settings, project)
        monkeypatch.setenv("THEIR_KEY", "a-long-key")
        for address in (url, other):
            engine = engine_of(f"{address}#m", settings, project)
            engine.generate(hello)
        assert (server.keys, elsewhere.keys) == (["Bearer a-long-key"], [None])


def test_an_address_names_its_model(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"http://localhost:1/v1#NAME"):
        engine_of("http://localhost:1/v1", Settings(), tmp_path)


def test_one_turn_by_the_command_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "object", "properties": {"n": {"type": "integer"}}}')
    with served([says('{"n": 3}')]) as (url, _):
        code, out, _ = command(
            *("generate", "--model", f"{url}#m", "--prompt", "n?"),
            *("--schema", str(tmp_path / "s.json"), "--json"),
        )
    assert code == 0
    assert json.loads(out)["value"] == {"n": 3}


def test_doctor_asks_the_server(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served([], models=[{"id": "m", "max_model_len": 4096}]) as (url, _):
        monkeypatch.setenv("GESSO_MODEL", f"{url}#m")
        found = {check.subject: check for check in examine(project)}
        check = found[f"model {url}#m"]
        assert (check.level, check.finding) == ("ok", "its server answers; it reads 4,096 tokens")
    (check,) = [one for one in examine(project) if one.subject == f"model {url}#m"]
    assert check.level == "problem"
    assert "does not answer" in check.finding
