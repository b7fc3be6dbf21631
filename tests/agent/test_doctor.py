"""`gesso doctor`: each thing that can be wrong is found, told, and told how to mend."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import Runtime
from gesso.agent.doctor import Check, examine
from gesso.agent.errors import ProjectError
from gesso.tools import sandbox
from oracle import Shape, save_checkpoint
from postgresql import ON_POSTGRESQL
from scripted import engine, says
from served import served


def checks(project: Path) -> dict[str, Check]:
    return {check.subject: check for check in examine(project)}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing was downloaded before."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_sound_project_has_no_problem(command: Any, project: Path) -> None:
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "hello")
    code, out, err = command("doctor", str(project), "--json")
    assert (code, err) == (0, "")
    shown = {check["subject"]: check for check in json.loads(out)}
    assert "problem" not in {check["level"] for check in shown.values()}
    for subject in ("settings", "agent clerk", "disk", "memory", "GPU", "versions", "sandbox"):
        assert shown[subject]["finding"]
    assert shown["model sketch"]["level"] == "ok"
    if ON_POSTGRESQL:
        assert "in PostgreSQL can be opened" in shown["database"]["finding"]
    else:
        assert "is whole" in shown["store.db"]["finding"]
        assert "is whole" in shown["durable.db"]["finding"]
    code, out, _ = command("doctor", str(project))
    assert code == 0
    assert "ok      agent clerk: " in out


@pytest.mark.sqlite
def test_it_leaves_a_project_that_never_ran_as_it_is(project: Path) -> None:
    before = sorted(project.rglob("*"))
    assert "nothing has run" in checks(project)["store.db"].finding
    assert sorted(project.rglob("*")) == before


def test_what_is_wrong_with_the_project_is_a_problem(
    command: Any, project: Path, write_agent: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_agent("name: clerk\nmodel: /nowhere/model\nsecrets: [API_KEY]")
    (project / "agents" / "broken.md").write_text("---\nname: broken\ncolour: red\n---\nGo.")
    (project / "gesso.toml").write_text("\nconcurency = 1\n")
    monkeypatch.setenv("GESSO_MODLE", "sketch")
    code, out, _ = command("doctor", str(project), "--json")
    assert code == 1
    shown = {check["subject"]: check for check in json.loads(out)}
    for subject, finding in (
        ("agent broken", "broken.md:3: colour: unknown field"),
        ("model /nowhere/model", "no such folder"),
        ("secret API_KEY", "is missing: put it in the environment or "),
    ):
        assert shown[subject]["level"] == "problem"
        assert finding in shown[subject]["finding"]
        assert shown[subject]["advice"]
    said = [check["finding"] for check in json.loads(out) if check["subject"] == "settings"]
    assert "gesso.toml:2: concurency: unknown setting" in said[0]
    assert said[1] == "GESSO_MODLE sets nothing"


@pytest.mark.sqlite
def test_a_damaged_store_is_a_problem(project: Path) -> None:
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "hello")
    path = project / ".gesso" / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name='runs'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root[0] - 1) * size : root[0] * size] = bytes(size)
    path.write_bytes(content)
    found = checks(project)["store.db"]
    assert found.level == "problem"
    assert "backup" in found.advice
    path.write_bytes(b"no database at all" * 100)
    assert checks(project)["store.db"].level == "problem"


def test_a_file_of_secrets_that_others_can_read_is_a_problem(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\nsecrets: [API_KEY]")
    (project / ".gesso").mkdir()
    secrets = project / ".gesso" / "secrets"
    secrets.write_text("API_KEY=s3cr3t-s3cr3t\n")
    secrets.chmod(0o644)
    found = checks(project)["secrets"]
    assert found.level == "problem"
    assert f"chmod 600 {secrets}" in found.finding
    secrets.chmod(0o600)
    found = checks(project)
    assert (found["secrets"].level, found["secret API_KEY"].level) == ("ok", "ok")


def test_a_model_is_looked_for_and_not_downloaded(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\nmodel: someone/model")
    found = checks(project)["model someone/model"]
    assert (found.level, found.finding) == ("warning", "is not on this machine")
    folder = project / "checkpoint"
    folder.mkdir()
    (folder / "config.json").touch()
    (project / "gesso.toml").write_text(f"model = '{folder}'\n")
    found = checks(project)[f"model {folder}"]
    assert found.level == "problem"
    assert found.finding == f"{folder} lacks tokenizer.json, *.safetensors"


def test_a_model_that_reads_images_is_told_of(project: Path) -> None:
    folder = project / "checkpoint"
    save_checkpoint(folder, Shape("seeing", layers="sf"))
    (project / "gesso.toml").write_text(f"model = '{folder}'\n")
    assert checks(project)[f"model {folder}"].finding == f"is in {folder}; it reads images"
    (folder / "model.safetensors").write_bytes(b"{}")
    assert checks(project)[f"model {folder}"].level == "problem"
    (project / "gesso.toml").write_text("model = 'sketch'\n")
    assert "it reads images" not in checks(project)["model sketch"].finding
    for told, said in (({}, ""), ({"capabilities": ["multimodal"]}, ", and images")):
        with served([], models=[{"id": "m", "context_length": 900, **told}]) as (url, _):
            (project / "gesso.toml").write_text(f"model = '{url}#m'\n")
            found = checks(project)[f"model {url}#m"]
        assert found.finding == f"its server answers; it reads 900 tokens{said}"


def test_a_missing_sandbox_matters_to_agents_that_run_commands(
    project: Path, write_agent: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "PROGRAMS", "/nowhere")
    found = checks(project)["sandbox"]
    assert found.level == "warning"
    assert "is not installed" in found.finding
    write_agent("name: clerk\ntools: [shell]")
    found = checks(project)["sandbox"]
    assert found.level == "problem"
    assert "clerk cannot run commands" in found.advice
    write_agent("name: clerk\ntools: [shell]\nsandbox: none")
    assert checks(project)["sandbox"].level == "warning"


def test_a_database_that_cannot_be_reached_is_a_problem(project: Path) -> None:
    address = "postgresql+psycopg://me:sw0rdfish@127.0.0.1:1/gesso"
    (project / "gesso.toml").write_text(f'database_url = "{address}"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GESSO_DATABASE_URL", raising=False)
        found = checks(project)["database"]
    assert found.level == "problem"
    assert "127.0.0.1:1/gesso: cannot be reached" in found.finding
    assert "sw0rdfish" not in f"{found}"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no such folder"):
        list(examine(tmp_path / "nowhere"))
    assert checks(tmp_path)["agents"].level == "warning"
