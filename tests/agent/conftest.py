"""Projects on disk for the agent room's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

AGENT = """\
---
name: clerk
tools: [read_file, save_record]
record:
  company: {type: string, description: Company}
---
Save what you read.
"""


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
