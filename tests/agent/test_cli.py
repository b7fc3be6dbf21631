"""The commands, as a person calls them, with a scripted engine in place of the model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gesso.engine
import pytest
from gesso.agent import runtime
from gesso.agent.cli import main
from gesso.engine import EngineError, Request, Result
from gesso.memory import Store
from scripted import USAGE, ScriptedEngine, calls, says


class Reader(ScriptedEngine):
    """Reads the file that it is told of, and saves its first line as the company."""

    def __init__(self) -> None:
        super().__init__([])

    def generate(self, request: Request) -> Result:
        if request.messages[0].role == "user":
            raise EngineError("this engine only reads files")
        if request.messages[-1].role == "user":
            path = request.messages[-1].content.removeprefix("New file: ")
            return calls(("read_file", {"path": path}))
        if request.messages[-1].name == "read_file":
            company = request.messages[-1].content.splitlines()[0]
            record = {"company": company, "date": "2026-03-14", "total": 1.5}
            wanted = request.tools[1].parameters["required"]
            return calls(("save_record", {key: record[key] for key in wanted}))
        return says("Saved.")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call `gesso …`; its exit code, standard output and standard error."""

    def load(model: str) -> Any:
        if model not in ("sketch", "reader"):
            raise EngineError(f"{model}: no such model")
        return Reader()

    monkeypatch.setattr(runtime, "load_engine", load)
    monkeypatch.setattr(gesso.engine, "load_engine", load)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gesso", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return exited.value.code, captured.out, captured.err

    return call


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
    (spent,) = shown["cost"]["spent"]
    assert spent["turns"] == 18
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
    (spent,) = shown["spent"]
    with Store(project / ".gesso" / "store.db") as store:
        entries = store.entries()
    assert spent["turns"] == len(entries) == 3
    for field in ("prompt_tokens", "cached_tokens", "output_tokens", "denoising_steps"):
        assert spent[field] == sum(getattr(entry, field) for entry in entries)
    assert spent["output_tokens_per_second"] == pytest.approx(60 / 2.25)
    assert len(shown["peers"]) == 3
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
        (["cost", "{project}/inbox"], 2, "nothing has run here yet"),
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
    monkeypatch.setattr(gesso.engine, "load_engine", lambda model: answers)
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
    monkeypatch.setattr(gesso.engine, "load_engine", lambda model: answers)
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


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_up_is_interrupted_gracefully(project: Path, sent: signal.Signals) -> None:
    code = (
        "import sys; from gesso.agent import runtime; from test_cli import Reader; "
        "runtime.load_engine = lambda model: Reader(); "
        "from gesso.agent.cli import main; main()"
    )
    clerk = project / "agents" / "clerk.md"
    clerk.write_text(clerk.read_text().replace("tools:", "triggers: [{folder: inbox}]\ntools:"))
    (project / "inbox" / "a.txt").write_text("Brandt & Sons\n")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, "up", str(project)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    store = project / ".gesso" / "store.db"
    end = time.monotonic() + 30
    while not (store.exists() and _done(store)):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(sent)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "watching inbox for *" in err
    assert "stopped; what is unfinished goes on at the next start" in err
    assert "Traceback" not in err


def _done(path: Path) -> bool:
    with Store(path) as store:
        return len(store.runs(state="done")) == 1
