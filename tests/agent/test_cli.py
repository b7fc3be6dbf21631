"""The commands, as a person calls them, with a scripted engine in place of the model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import models
from gesso.engine import EngineError, Result
from scripted import USAGE, Reader, ScriptedEngine, calls
from waiting import opened


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models are there, `sketch` and `reader`, and both are the scripted one."""

    def load(model: str, *_: str, **__: float | None) -> Any:
        if model not in ("sketch", "reader"):
            raise EngineError(f"{model}: no such model")
        return Reader()

    monkeypatch.setattr(models, "load_engine", load)


def test_demo_reads_every_receipt(command: Any, tmp_path: Path) -> None:
    code, out, _ = command("demo", str(tmp_path / "demo"), "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["model"] == "sketch"
    assert len(shown["documents"]) == 6
    for document in shown["documents"]:
        (record,) = document["records"]
        text = (tmp_path / "demo" / document["source"]).read_text()
        assert record["company"] == text.splitlines()[0]
    (row,) = shown["cost"]["rows"]
    assert row["work"]["generations"] == 18
    code, out, _ = command("demo", str(tmp_path / "demo"))
    assert code == 0, "a second time finds everything done"
    for words in ("HOLLIS BAKERY", "Claude Sonnet", "Model: sketch on cpu", "gesso up"):
        assert words in out


def test_run_prints_the_answer(command: Any, project: Path) -> None:
    (project / "a.txt").write_text("Brandt & Sons\n")
    agent = str(project / "agents" / "clerk.md")
    code, out, err = command("run", agent, "New file: a.txt")
    assert (code, err) == (0, "")
    assert out.endswith("Saved.\n")
    code, out, _ = command("run", agent, "New file: a.txt", "--json", "--model", "reader")
    shown = json.loads(out)
    assert (code, shown["state"], shown["text"]) == (0, "done", "Saved.")
    assert shown["records"] == [{"source": "a.txt", "data": {"company": "Brandt & Sons"}}]


def test_cost_agrees_with_the_ledger(command: Any, project: Path) -> None:
    (project / "a.txt").write_text("Brandt & Sons\n")
    command("run", str(project / "agents" / "clerk.md"), "New file: a.txt")
    code, out, _ = command("cost", str(project), "--json")
    shown = json.loads(out)
    assert code == 0
    work = shown["total"]["work"]
    with opened(project) as store:
        entries = list(store.ledger.entries())
    assert work["generations"] == len(entries) == 3
    for field in ("prompt_tokens", "cached_tokens", "output_tokens", "denoising_steps"):
        assert work[field] == sum(getattr(entry, field) for entry in entries)
    assert work["output_tokens_per_second"] == pytest.approx(60 / 2.25)
    assert len(shown["total"]["bills"]) == 3
    code, out, _ = command("cost", str(project))
    assert "Claude Sonnet" in out


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["run", "none.md", "hi"], 2, "none.md: No such file or directory"),
        (["run", "{clerk}", "hi", "--model", "big"], 2, "big: no such model"),
        (["run"], 2, "Missing argument 'AGENT.md'."),
        (["up", "{project}/nowhere"], 2, "nowhere: no agents; write one to "),
        (["up", "{project}/inbox"], 2, "inbox/agents/NAME.md"),
        pytest.param(
            ["cost", "{project}/inbox"], 2, "nothing has run here yet", marks=pytest.mark.sqlite
        ),
        (["generate"], 2, "give either --prompt or --prompt-file"),
        (["generate", "--prompt", "hi"], 2, "this engine only reads files"),
        (["generate", "--prompt-file", "{project}/none"], 2, "No such file or directory"),
        (["generate", "--prompt", "a", "--schema", "{clerk}"], 2, "clerk.md:1: Expecting value"),
        (["paint"], 2, "No such command 'paint'"),
    ],
)
def test_a_user_error_is_one_line(
    command: Any,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    line: str,
) -> None:
    monkeypatch.chdir(project)
    places = {"clerk": project / "agents" / "clerk.md", "project": project}
    exited, out, err = command(*[argument.format(**places) for argument in arguments])
    assert (exited, out) == (code, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert line in err
    assert "--model" in arguments or not list(project.rglob(".gesso")), "no project is made"


def test_generate_prints_one_document(
    command: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"company": "Brandt & Sons"}
    answers = ScriptedEngine([Result(json.dumps(value), value=value, usage=USAGE)])
    monkeypatch.setattr(models, "engine_of", lambda *_: answers)
    (project / "schema.json").write_text(
        '{"type": "object", "properties": {"company": {"type": "string"}}}'
    )
    (project / "prompt.txt").write_text("Who?")
    code, out, _ = command(
        *("generate", "--schema", str(project / "schema.json"), "--seed", "7"),
        *("--prompt-file", str(project / "prompt.txt"), "--max-tokens", "64", "--json"),
    )
    assert code == 0
    assert json.loads(out) == {
        "text": json.dumps(value),
        "value": value,
        "tool_calls": [],
        "usage": asdict(USAGE),
    }
    (request,) = answers.requests
    assert (request.messages[0].content, request.seed, request.max_tokens) == ("Who?", 7, 64)
    assert request.constraint is not None
    assert request.constraint.accepts('{"company": "Brandt & Sons"}')
    assert not request.constraint.accepts('{"company": 1}')


@pytest.mark.parametrize("wrapped", [False, True])
def test_generate_offers_tools(
    command: Any, project: Path, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    function = {"name": "weather", "description": "W", "parameters": {"type": "object"}}
    answers = ScriptedEngine([calls(("weather", {"city": "Peoria"}))])
    monkeypatch.setattr(models, "engine_of", lambda *_: answers)
    declared = {"type": "function", "function": function} if wrapped else function
    (project / "tools.json").write_text(json.dumps([declared]))
    code, out, _ = command("generate", "--tools", str(project / "tools.json"), "--prompt", "hi")
    assert (code, json.loads(out)) == (0, {"name": "weather", "arguments": {"city": "Peoria"}})
    (declaration,) = answers.requests[0].tools
    assert (declaration.name, declaration.parameters) == ("weather", {"type": "object"})


def test_debug_shows_the_traceback(command: Any) -> None:
    code, _, err = command("--debug", "run", "none.md", "hi")
    assert code == 2
    assert "Traceback" in err


def test_a_failed_run_is_exit_code_1(command: Any, project: Path) -> None:
    (project / "agents" / "clerk.md").write_text(
        "---\nname: clerk\ntools: [read_file]\nbudget: {turns: 1}\n---\nGo."
    )
    code, out, _ = command("run", str(project / "agents" / "clerk.md"), "New file: none", "--json")
    assert (code, json.loads(out)["state"]) == (1, "stopped")


def test_help_without_arguments(command: Any) -> None:
    code, out, _ = command()
    assert code == 0
    assert "generate" in out
