"""Slots: one a living process, free again when it dies."""

import subprocess
import sys
from pathlib import Path

from gesso.agent.slot import Slot


def test_each_holder_has_its_own_and_a_free_one_is_taken_again(tmp_path: Path) -> None:
    first, second = Slot(tmp_path), Slot(tmp_path)
    assert (first.name, second.name) == ("worker-0", "worker-1")
    assert second.abandoned() == []
    first.release()
    assert second.abandoned() == ["worker-0"]
    third = Slot(tmp_path)
    assert third.name == "worker-0"
    assert second.abandoned() == []
    second.release()
    third.release()


def test_a_killed_holder_abandons_its_slot(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from gesso.agent.slot import Slot; "
        "slot = Slot(Path(sys.argv[1])); print(slot.name, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "worker-0"
    slot = Slot(tmp_path)
    assert (slot.name, slot.abandoned()) == ("worker-1", [])
    process.kill()
    process.wait()
    process.stdout.close()
    assert slot.abandoned() == ["worker-0"]
    slot.release()
