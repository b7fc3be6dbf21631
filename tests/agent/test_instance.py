"""Who is up: a lock that dies with its holder."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gesso.agent.errors import InstanceError
from gesso.agent.instance import FILE, held, running, stop

HOLDER = """
import signal, sys, time
from pathlib import Path
from gesso.agent.instance import held
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that is up."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_none_is_up_where_none_ever_was(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    with pytest.raises(InstanceError, match="is not up"):
        stop(tmp_path, 1)


def test_the_holder_is_known_until_it_leaves(tmp_path: Path) -> None:
    with held(tmp_path) as instance:
        assert instance.pid == os.getpid()
        assert running(tmp_path) == instance
        with pytest.raises(InstanceError, match=f"up already, as process {os.getpid()}"):
            held(tmp_path).__enter__()
        assert running(tmp_path) == instance
    assert running(tmp_path) is None


def test_a_file_that_a_killed_holder_left_counts_for_nothing(
    tmp_path: Path, holder: Callable[..., subprocess.Popen[str]]
) -> None:
    process = holder()
    found = running(tmp_path)
    assert found is not None
    assert found.pid == process.pid
    process.kill()
    process.wait()
    assert str(process.pid) in (tmp_path / FILE).read_text()
    assert running(tmp_path) is None
    with held(tmp_path):
        pass


def test_stop_waits_for_the_end_and_says_when_it_does_not_come(
    tmp_path: Path, holder: Callable[..., subprocess.Popen[str]]
) -> None:
    process = holder()
    assert stop(tmp_path, 10).pid == process.pid
    assert process.wait(10) != 0
    process = holder("deaf")
    with pytest.raises(InstanceError, match=rf"{process.pid} is still up after 0.2 seconds"):
        stop(tmp_path, 0.2)
