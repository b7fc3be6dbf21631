"""A checkpoint of the second family in the place of the first: what the commands say of it, and do
with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from masked_oracle import save_llada

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("llada")
    save_llada(folder, steps=16, gen_length=64, block_length=32)
    return str(folder)


def test_it_writes_a_turn_under_a_schema(command: Command, model: str, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    code, out, _ = command(
        *("generate", "--model", model, "--schema", str(tmp_path / "schema.json")),
        *("--prompt", "Total: 3", "--seed", "1", "--max-tokens", "64", "--json"),
    )
    assert code == 0
    written = json.loads(out)
    assert isinstance(written["value"]["total"], int)
    assert written["usage"]["denoising_steps"] > 0
    assert written["usage"]["cached_tokens"] == 0


def test_it_makes_a_record_of_a_document(command: Command, model: str, tmp_path: Path) -> None:
    (tmp_path / "bill.txt").write_text("HOLLIS BAKERY\nTOTAL 11.30\n")
    out = tmp_path / "out.jsonl"
    command(
        *("extract", "kind: bill|ticket, paid: boolean", str(tmp_path / "bill.txt")),
        *("-o", str(out), "--model", model, "--progress", "none"),
    )
    (row,) = map(json.loads, out.read_text().splitlines())
    # random weights may write white space until the budget is used up
    assert row["value"] is not None or "no end within" in row["error"]


def test_its_folder_is_verified(command: Command, model: str) -> None:
    code, out, _ = command("models", "verify", model)
    assert code == 0
    assert "✗" not in out


def test_the_doctor_finds_it(
    command: Command, project: Path, write_agent: Callable[..., Path], model: str
) -> None:
    write_agent(f"name: clerk\nmodel: {model}")
    _, out, _ = command("doctor", str(project), "--json")
    shown = {check["subject"]: check for check in json.loads(out)}
    assert shown[f"model {model}"]["level"] == "ok"


def test_an_agent_with_tools_runs_on_it(
    command: Command, write_agent: Callable[..., Path], model: str
) -> None:
    """The template of this checkpoint is Gemma's: LLaDA's own has no form for tools."""
    budget = "budget: {turns: 1, tokens: 4000}"
    agent = write_agent(f"name: clerk\nmodel: {model}\ntools: [list_files]\n{budget}")
    _, out, err = command("run", str(agent), "hello", "--json")
    assert "Traceback" not in err
    told = json.loads(out)
    assert (told["state"], told["model"]) == ("done", model)
