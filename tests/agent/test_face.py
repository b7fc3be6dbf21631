"""What the agent room shows: exactly these names, loaded when they are used."""

import subprocess
import sys

import gesso.agent
import pytest
from gesso.agent.cli import main


def test_the_room_exports_these_names() -> None:
    assert gesso.agent.__all__ == ["Agent", "AgentError", "Runtime", "extract"]
    assert all(getattr(gesso.agent, name).__name__ == name for name in gesso.agent.__all__)
    with pytest.raises(AttributeError, match="extractt"):
        gesso.agent.extractt  # noqa: B018


def test_a_runtime_starts_without_the_mcp_sdk() -> None:
    code = "import sys; import gesso.agent.runtime; print('mcp' in sys.modules)"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    loaded = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert loaded.strip() == "False"


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    assert callable(main)
    code = (
        "import sys; import gesso.agent.cli; "
        "print([m for m in ('torch', 'dbos', 'sqlalchemy', 'alembic') if m in sys.modules])"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    loaded = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert loaded.strip() == "[]"
