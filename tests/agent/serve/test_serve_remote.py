"""One gesso behind another: a remote engine on `gesso serve`."""

from __future__ import annotations

from pathlib import Path

from gesso.agent import Runtime, extract
from gesso.agent.settings import Settings
from gesso.engine import Message, RemoteEngine, Request, ToolDeclaration, json_schema
from receipts_to_serve import RECEIPT

SCHEMA = {
    "type": "object",
    "properties": {"customer": {"type": "string"}, "total": {"type": "number"}},
    "required": ["customer", "total"],
    "additionalProperties": False,
}
SAVE = ToolDeclaration("save", "Save the bill.", SCHEMA)
AGENT = """\
---
name: clerk
tools: [read_file, save_record]
tool_choice: required
budget: {turns: 3}
record:
  customer: {type: string, description: Customer}
---
Read the file, then save its record.
"""


def test_a_schema_and_tools_are_held_to_and_metered_by_steps(url: str) -> None:
    engine = RemoteEngine(f"{url}/v1", "sketch")
    message = Message("user", RECEIPT)
    value = engine.generate(Request([message], constraint=json_schema(SCHEMA), seed=1))
    assert json_schema(SCHEMA).accepts(value.text)
    assert (value.usage.canvases > 0, value.usage.denoising_steps > 0) == (True, True)
    called = engine.generate(Request([message], tools=[SAVE], tool_choice="save", seed=1))
    assert [call.name for call in called.tool_calls] == ["save"]
    again = engine.generate(Request([message], tools=[SAVE], tool_choice="save", seed=1))
    assert again.tool_calls == called.tool_calls


def test_it_says_how_much_it_reads(url: str) -> None:
    assert RemoteEngine(f"{url}/v1", "sketch", context_length=None).context_length == 4096


def test_documents_become_records(url: str, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(RECEIPT)
    engine = RemoteEngine(f"{url}/v1", "sketch")
    records = list(extract(SCHEMA, [tmp_path], engine=engine))
    assert [record.error for record in records] == [None] * 3
    assert all(isinstance(record.value, dict) for record in records)


def test_an_agent_runs_on_it(url: str, tmp_path: Path) -> None:
    for folder in ("agents", "inbox"):
        (tmp_path / folder).mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    (tmp_path / "inbox" / "a.txt").write_text(RECEIPT)
    settings = Settings(model=f"{url}/v1#sketch")
    with Runtime(tmp_path, settings=settings, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", "New file: inbox/a.txt")
        entries = list(runtime.store.ledger.entries(run=run.id))
        calls = [call for one in runtime.store.messages(run.id) for call in one.tool_calls]
    assert run.state in ("done", "stopped"), run.reason
    assert calls
    assert 1 <= len(entries) <= 3
    assert all(entry.denoising_steps > 0 and entry.device == "remote" for entry in entries)
