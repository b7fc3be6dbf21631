"""The control API against its own description, by schemathesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gesso.agent import Runtime
from gesso.agent.control.server import controlled
from scripted import calls, engine, says

EXAMPLES = 40


@pytest.mark.slow
def test_nothing_is_answered_that_is_not_described(project: Path) -> None:
    """Every route but the stream, which has no end: fuzzed, with and without what is right."""
    scripted = engine(calls(("read_file", {"path": "none"})), says("ok"))
    with (
        Runtime(project, engine=scripted) as runtime,
        controlled(runtime, project / ".gesso") as address,
    ):
        runtime.run("clerk", "go")
        command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
        command += [f"{address.url}/openapi.json", "--exclude-path", "/v1/events"]
        command += ["-H", f"Authorization: Bearer {address.token}"]
        command += ["--max-examples", str(EXAMPLES), "--seed", "1"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=project, timeout=500)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "passed" in done.stdout
