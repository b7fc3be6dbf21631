"""`gesso up` and `gesso stop`, as processes of their own, with a scripted engine as the model."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gesso.memory import Store


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_up_is_interrupted_gracefully(project: Path, sent: signal.Signals) -> None:
    code = (
        "import sys; from gesso.agent import runtime; from scripted import Reader; "
        "runtime.load_engine = lambda *_: Reader(); "
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
