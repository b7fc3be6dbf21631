"""`gesso serve`, as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gesso.agent.cli import main
from gesso.memory import Store

KEY = "a-key-of-this-test"


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address, once it serves."""
    command = [sys.executable, "-m", "gesso.agent", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"served at (\S+)/v1", line):
                    yield found[1], process
                    return
            pytest.fail("it does not serve")
        finally:
            process.kill()


def test_a_project_is_served_with_its_keys_and_its_ledger(tmp_path: Path) -> None:
    with served(str(tmp_path), "--key", "SERVE_KEY", SERVE_KEY=KEY) as (url, process):
        body = {"model": "sketch", "messages": [{"role": "user", "content": "?"}], "max_tokens": 9}
        assert httpx.post(f"{url}/v1/chat/completions", json=body).status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with Store(tmp_path / ".gesso" / "store.db") as store:
        (entry,) = store.ledger.entries()
        assert entry.output_tokens == answer.json()["usage"]["completion_tokens"]


def test_other_machines_are_not_served_without_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gesso", "serve", "--host", "0.0.0.0"])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 2
    assert "--key NAME" in capsys.readouterr().err
