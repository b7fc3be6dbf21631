"""Every file in a folder becomes a row: by an agent's trigger, and by an agent's tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import Runtime
from gesso.agent.errors import AgentFileError
from gesso.engine import Engine, load_engine
from gesso.memory import Run
from scripted import calls, engine, says

ROWS = """\
---
name: rows
triggers: [{folder: inbox, pattern: "*.txt"}]
extract: {fields: "company, total", output: rows.jsonl}
---
Fill in the record from the document.
"""


@pytest.fixture(scope="module")
def sketch() -> Engine:
    return load_engine("sketch")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("agents", "inbox"):
        (tmp_path / folder).mkdir()
    (tmp_path / "agents" / "rows.md").write_text(ROWS)
    for number in range(3):
        receipt(tmp_path, number)
    return tmp_path


def receipt(project: Path, number: int, total: str = "2.50") -> Path:
    path = project / "inbox" / f"{number}.txt"
    path.write_text(f"SHOP {number} LTD\n01/03/2026\n\nMilk 2.00\nTOTAL {total}\n")
    return path


def dropped(runtime: Runtime, *paths: Path) -> list[Run]:
    """What becomes of files that land in the inbox."""
    runs = [runtime.enqueue_document("rows", path) for path in paths]
    return [runtime.wait(run) for run in runs]


def rows(project: Path) -> list[dict[str, Any]]:
    """The table, by the names of its documents: they come as they are taken up."""
    lines = (project / "rows.jsonl").read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda row: row["source"])


def test_every_file_becomes_a_row(project: Path, sketch: Engine) -> None:
    with Runtime(project, engine=sketch) as runtime:
        ended = dropped(runtime, *sorted((project / "inbox").iterdir()))
        assert [run.state for run in ended] == ["done"] * 3
        assert [row["source"] for row in rows(project)] == [f"inbox/{n}.txt" for n in range(3)]
        assert [row["value"]["total"] for row in rows(project)] == ["2.50"] * 3
        answer = runtime.store.messages(ended[0].id)[-1]
        assert json.loads(answer.content) == rows(project)[0]["value"]
        (job,) = runtime.store.jobs.all()
        assert job.run.agent == "rows"
        entries = list(runtime.store.ledger.entries(agent="rows"))
        assert len(entries) == 3, "no document is paid for twice"
        assert {entry.run for entry in entries} == {job.id}


def test_a_file_that_changes_changes_its_row(project: Path, sketch: Engine) -> None:
    with Runtime(project, engine=sketch) as runtime:
        dropped(runtime, *sorted((project / "inbox").iterdir()))
        dropped(runtime, receipt(project, 1, "77.10"))
        assert [row["value"]["total"] for row in rows(project)] == ["2.50", "77.10", "2.50"]
        assert len(list(runtime.store.ledger.entries(agent="rows"))) == 4


def test_other_fields_make_the_whole_table_anew(project: Path, sketch: Engine) -> None:
    with Runtime(project, engine=sketch) as runtime:
        dropped(runtime, *sorted((project / "inbox").iterdir())[:2])
    file = project / "agents" / "rows.md"
    file.write_text(ROWS.replace("company, total", "company, date: date"))
    with Runtime(project, engine=sketch) as runtime:
        dropped(runtime, project / "inbox" / "2.txt")
        assert [set(row["value"]) for row in rows(project)] == [{"company", "date"}] * 3


def test_a_file_that_cannot_be_read_fails_its_own_run_only(project: Path, sketch: Engine) -> None:
    bad = project / "inbox" / "1.txt"
    bad.write_bytes(b"\x00\x01\x02" * 50)
    with Runtime(project, engine=sketch) as runtime:
        states = [run.state for run in dropped(runtime, *sorted((project / "inbox").iterdir()))]
        assert states == ["done", "failed", "done"]
        errors = [row["error"] for row in rows(project)]
        assert errors[0] is None
        assert "neither text" in errors[1]
        assert errors[2] is None


def test_a_run_without_a_file_says_so(project: Path, sketch: Engine) -> None:
    with Runtime(project, engine=sketch) as runtime:
        run = runtime.run("rows", "hello")
        assert (run.state, run.reason) == (
            "failed",
            "extract makes a row of a file, and the run is about none",
        )


def test_the_days_budget_holds_for_rows(project: Path, sketch: Engine) -> None:
    file = project / "agents" / "rows.md"
    file.write_text(ROWS.replace("extract:", "budget: {day: {turns: 1}}\nextract:"))
    with Runtime(project, engine=sketch) as runtime:
        ended = [dropped(runtime, path)[0] for path in sorted((project / "inbox").iterdir())]
        assert [run.state for run in ended] == ["done", "stopped", "stopped"]
        assert ended[1].reason == "the day's budget of 1 turns is spent"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"total": "total: nothing"}, "rows.md:4: extract.fields: .*'nothing' is no type"),
        ({"rows.jsonl": "rows.doc"}, "extract.output: .*rows.doc: the suffix says"),
        ({"rows.jsonl": "../rows.csv"}, r"extract.output: .*without \.\."),
        ({"rows.jsonl": "agents/rows.csv"}, "extract.output: .*not theirs to write"),
        ({"extract:": "tools: [read_file]\nextract:"}, "tools: are of no use beside extract"),
        ({"extract:": "concurrency: 2\nextract:"}, "concurrency: is 1 with extract"),
        ({'folder: inbox, pattern: "*.txt"': "every: 1h, message: go"}, "names no file"),
        ({"output": "into: x, output"}, "unknown field; known are fields, output"),
    ],
)
def test_what_could_not_run_is_refused_at_its_line(
    project: Path, sketch: Engine, change: dict[str, str], complaint: str
) -> None:
    file = project / "agents" / "rows.md"
    ((old, new),) = change.items()
    file.write_text(ROWS.replace(old, new))
    with Runtime(project, engine=sketch) as runtime, pytest.raises(AgentFileError, match=complaint):
        runtime.add(file)


def test_an_agent_makes_a_table_by_a_tool(project: Path) -> None:
    asked = {"documents": "inbox", "fields": "company, total", "output": "rows.csv"}
    (project / "agents" / "clerk.md").write_text(
        "---\nname: clerk\ntools: [extract_records]\n---\nDo it."
    )
    with Runtime(project, engine=told(asked)) as runtime:
        run = runtime.run("clerk", "make the table")
        assert run.state == "done", run.reason
        (result,) = [m.content for m in runtime.store.messages(run.id) if m.role == "tool"]
        assert result == "rows.csv: 3 documents read"
    header, *lines = (project / "rows.csv").read_text().splitlines()
    assert header.startswith("company,total,source")
    assert [line.split(",")[1:3] for line in lines] == [
        ["2.50", f"inbox/{number}.txt"] for number in range(3)
    ]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"documents": "../elsewhere"}, r"without \.\."),
        ({"documents": "nothing.txt"}, "nothing.txt"),
        ({"output": ".gesso/rows.csv"}, "hidden files"),
        ({"fields": "company: nothing"}, "'nothing' is no type"),
    ],
)
def test_a_wrong_call_is_told_to_the_model(
    project: Path, wrong: dict[str, str], complaint: str
) -> None:
    asked = {"documents": "inbox", "fields": "company", "output": "rows.csv"} | wrong
    (project / "agents" / "clerk.md").write_text(
        "---\nname: clerk\ntools: [extract_records]\n---\nDo it."
    )
    with Runtime(project, engine=told(asked)) as runtime:
        run = runtime.run("clerk", "make the table")
        (result,) = [m.content for m in runtime.store.messages(run.id) if m.role == "tool"]
    assert result.startswith("error: ")
    assert complaint.replace("\\", "") in result


def told(arguments: dict[str, Any]) -> Any:
    """An engine that calls the tool once, and reads documents as `sketch` does."""
    scripted, real = engine(calls(("extract_records", arguments)), says("Done.")), None

    def forward(name: str) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            nonlocal real
            real = real or load_engine("sketch")
            return getattr(real, name)(*given)

        return call

    for name in ("generate_batch", "prompt_tokens"):
        setattr(scripted, name, forward(name))
    scripted.digest = load_engine("sketch").digest
    return scripted
