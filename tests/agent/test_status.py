"""`gesso status`: what a project's files and its store tell, with and without a process."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gesso.agent import Runtime
from gesso.agent.instance import held
from gesso.engine import EngineError, Request, Result
from scripted import calls, engine, says


def shown(command: Callable[..., tuple[int, str, str]], project: Path) -> dict[str, Any]:
    code, out, err = command("status", str(project), "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_a_project_that_never_ran_is_left_as_it_is(command: Any, project: Path) -> None:
    status = shown(command, project)
    assert status["instance"] is None
    assert status["runs"] == {}
    assert status["today"] == {"turns": 0, "prompt_tokens": 0, "output_tokens": 0, "seconds": 0.0}
    (agent,) = status["agents"]
    assert (agent["name"], agent["file"]) == ("clerk", "agents/clerk.md")
    assert (agent["triggers"], agent["last_run"]) == ([], None)
    assert not (project / ".gesso").exists()


def test_runs_tokens_and_the_process_that_is_up_are_told(
    command: Any, project: Path, write_agent: Callable[..., Path]
) -> None:
    def broken(request: Request) -> Result:
        raise EngineError("too long")

    write_agent("name: clerk\ntriggers: [{folder: inbox}]")
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "first")
        (entry,) = list(runtime.store.ledger.entries())
    with Runtime(project, engine=engine(broken), listen=False) as runtime:
        runtime.load()
        last = runtime.run("clerk", "second")
        runtime.enqueue("clerk", "third", key="k", trigger="manual")
    with held(project / ".gesso"):
        status = shown(command, project)
        code, out, _ = command("status", str(project))
    assert status["instance"]["pid"] == os.getpid()
    assert status["runs"] == {"done": 1, "failed": 1, "queued": 1}
    (agent,) = status["agents"]
    assert agent["triggers"] == ["folder inbox *"]
    assert agent["last_run"]["state"] == "queued"
    assert status["today"]["output_tokens"] == entry.output_tokens
    assert code == 0
    assert f"as process {os.getpid()}" in out
    for words in ("clerk", "folder inbox", "1 done, 1 failed, 1 queued", "100 prompt tokens"):
        assert words in out
    assert last.state == "failed"


def test_what_waits_for_the_person_is_counted(
    command: Any, project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [write_file]\npermissions: {ask: [write_file]}")
    asks = calls(("write_file", {"path": "a.txt", "text": "x"}))
    with Runtime(project, engine=engine(asks), listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "write")
    status = shown(command, project)
    assert (status["inbox"], status["runs"]) == (1, {"waiting": 1})
    code, out, _ = command("status", str(project))
    assert code == 0
    assert "1 waiting for you: gesso inbox" in out


def test_a_broken_agent_is_told_beside_the_others(command: Any, project: Path) -> None:
    (project / "agents" / "broken.md").write_text("---\nname: broken\ncolour: red\n---\nGo.")
    broken, clerk = shown(command, project)["agents"]
    assert broken["file"] == "agents/broken.md"
    assert ":3: colour: unknown field" in broken["problem"]
    assert clerk["problem"] is None
    code, out, _ = command("status", str(project))
    assert code == 0
    assert "broken" in out


def test_a_folder_without_agents_is_no_project(command: Any, project: Path) -> None:
    code, out, err = command("status", str(project / "inbox"))
    assert (code, out) == (2, "")
    assert "no agents" in err
