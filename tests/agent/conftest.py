"""Projects on disk for the agent room's tests, and the command line."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from gesso.agent.cli import main
from gesso.agent.durable import Journal
from gesso.memory import Store
from postgresql import ON_POSTGRESQL

AGENT = """\
---
name: clerk
tools: [read_file, save_record]
record:
  company: {type: string, description: Company}
---
Save what you read.
"""


def _make_runtime(url: str) -> None:
    Store(url).close()
    with TemporaryDirectory() as folder:
        Journal(Path(folder), lambda *_: None, listen=False, database=url).close()


@pytest.fixture(autouse=True)
def _database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL (`GESSO_TEST_DATABASE=postgresql`) each test's project has a database."""
    if ON_POSTGRESQL:
        server = request.getfixturevalue("postgresql")
        monkeypatch.setenv("GESSO_DATABASE_URL", server.fresh(_make_runtime))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one agent and an empty inbox."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    return tmp_path


@pytest.fixture
def write_agent(project: Path) -> Callable[..., Path]:
    """Replace the project's agent: front matter lines, then instructions."""

    def write(front: str, body: str = "Do it.") -> Path:
        path = project / "agents" / "clerk.md"
        path.write_text(f"---\n{front.strip()}\n---\n{body}\n")
        return path

    return write


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call `gesso …`; its exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gesso", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return exited.value.code, captured.out, captured.err

    return call
