"""The person's word about a call: changed before it is made, allowed for good, and what it would
change in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import Runtime
from gesso.memory import InboxError
from gesso.tools import ArgumentError, RuleError
from scripted import calls, engine, requests, says

NOW = datetime(2026, 11, 25, tzinfo=UTC)
FRONT = (
    "name: clerk\ntools: [write_file, edit_file, ask_person]\nsecrets: [KEY]\n"
    'permissions: {ask: [write_file, edit_file], allow: [ask_person], deny: ["write_file(keep/*)"]}'
)
WRITE = ("write_file", {"path": "out/a.txt", "text": "one\nthree\n"})


@pytest.fixture
def clerk(
    project: Path, write_agent: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runtime]:
    """Asks to write a file, and twice in a further run."""
    monkeypatch.setenv("KEY", "a secret of the house")
    write_agent(FRONT)
    (project / "out").mkdir()
    (project / "out" / "a.txt").write_text("one\ntwo a secret of the house\n")
    scripted = engine(calls(WRITE), says("Written."))
    with Runtime(project, engine=scripted) as runtime:
        runtime.run("clerk", "go")
        yield runtime


def finish(runtime: Runtime) -> str:
    runtime.deliver()
    (run, *_) = runtime.store.runs()
    return runtime.wait(run.id).state


def test_a_call_is_made_as_the_person_changed_it(clerk: Runtime, project: Path) -> None:
    edited = {"path": "out/b.txt", "text": "changed"}
    entry = clerk.word.give(1, "approved", at=NOW, edited=edited)
    assert (entry.verdict, entry.edited) == ("approved", edited)
    assert finish(clerk) == "done"
    assert (project / "out" / "b.txt").read_text() == "changed"
    assert "two" in (project / "out" / "a.txt").read_text()
    kinds = {event.kind: event for event in clerk.store.audit.events()}
    assert list(kinds) == ["ask", "edited", "begun", "finished"]
    assert json.dumps(edited, sort_keys=True) in kinds["edited"].text
    assert "in place of write_file(" in kinds["edited"].detail
    assert "out/a.txt" in kinds["edited"].detail
    told = requests(clerk.engine(""))[-1].messages[-1].content
    assert told.startswith("[the person changed the call to write_file(")


@pytest.mark.parametrize(
    ("edited", "error", "what"),
    [
        ({"path": "out/b.txt"}, ArgumentError, "'text' is a required property"),
        ({"path": 7, "text": ""}, ArgumentError, "path: 7 is not of type 'string'"),
        ({"path": "keep/b.txt", "text": ""}, RuleError, "permissions deny write_file(keep"),
    ],
)
def test_arguments_that_cannot_be_are_refused_at_once(
    clerk: Runtime, edited: dict[str, Any], error: type[Exception], what: str
) -> None:
    with pytest.raises(error) as raised:
        clerk.word.give(1, "approved", at=NOW, edited=edited)
    assert what in str(raised.value)
    assert len(clerk.store.inbox.entries()) == 1


def test_a_call_is_allowed_for_good(clerk: Runtime) -> None:
    rule = clerk.word.show(1).rule
    assert rule == "write_file(path=out/a.txt)"
    clerk.word.give(1, "approved", at=NOW, always=rule)
    assert finish(clerk) == "done"
    assert clerk.run("clerk", "again").state == "done", "nobody is asked"
    (grant,) = clerk.store.grants.all("clerk")
    clerk.store.grants.withdraw(grant.id)
    assert clerk.run("clerk", "once more").state == "waiting"


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("write_file(", "is no rule"),
        ("write_file(path=in/*)", "does not name this call"),
        ("shell", "the agent has no tool shell"),
        ("write_file", "as specific stands against it"),
    ],
)
def test_a_rule_that_would_not_allow_the_call_is_refused(
    clerk: Runtime, rule: str, what: str
) -> None:
    with pytest.raises(RuleError) as raised:
        clerk.word.give(1, "approved", at=NOW, always=rule)
    assert what in str(raised.value)
    assert clerk.store.grants.all() == []
    assert len(clerk.store.inbox.entries()) == 1


def test_only_a_call_that_is_approved_can_be_changed(clerk: Runtime) -> None:
    with pytest.raises(InboxError, match="only a call that is approved"):
        clerk.word.give(1, "denied", at=NOW, edited={})


def test_what_a_call_would_change_is_shown_without_secrets(clerk: Runtime) -> None:
    changes = clerk.word.show(1).changes
    assert changes is not None
    assert changes.splitlines() == [
        "--- out/a.txt",
        "+++ out/a.txt",
        "@@ -1,2 +1,2 @@",
        " one",
        "-two [secret KEY]",
        "+three",
    ]


def test_the_command_line_shows_changes_and_allows(
    clerk: Runtime, project: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = command("inbox", "1", "--project", str(project))
    assert code == 0
    assert "-two [secret KEY]" in out
    assert "gesso approve 1 --always 'write_file(path=out/a.txt)'" in out
    edit = json.dumps({"path": "out/c.txt", "text": "c"})
    always = "write_file(path=out/*)"
    code, out, _ = command(
        "approve", "1", "--edit", edit, "--always", always, "--project", str(project)
    )
    assert code == 0
    assert "clerk is allowed write_file(path=out/*) from now on" in out
    code, out, _ = command("inbox", "--allowed", "--project", str(project), "--json")
    assert [one["rule"] for one in json.loads(out)] == [always]
    assert finish(clerk) == "done"
    assert (project / "out" / "c.txt").read_text() == "c"
    code, out, _ = command("inbox", "--withdraw", "1", "--project", str(project), "--json")
    assert json.loads(out) == []
    code, _, err = command("approve", "1", "--edit", "[]", "--project", str(project))
    assert (code, "are an object" in err) == (2, True)
