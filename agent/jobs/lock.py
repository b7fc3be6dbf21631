"""Who carries out a job: the process that holds the lock of its file.

The kernel drops the lock of a process that dies, however it dies, so a job that is `running` and
whose lock is free was killed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InstanceError
from ..slot import lock

FOLDER = "jobs"
LOOK_SECONDS = 0.05
TIMES = 5
"""Who merely looks holds the lock for a moment too."""


@contextmanager
def carrying_out(state: Path, job: str) -> Iterator[None]:
    """Be the one that carries out the job. Raises `InstanceError` where another process is."""
    folder = state / FOLDER
    folder.mkdir(exist_ok=True)
    for _ in range(TIMES):
        descriptor = lock(folder / f"{job}.lock")
        if descriptor is not None:
            break
        time.sleep(LOOK_SECONDS)
    else:
        raise InstanceError(f"{job}: another process carries it out; see gesso jobs show {job}")
    try:
        yield
    finally:
        os.close(descriptor)


def is_carried_out(state: Path, job: str) -> bool:
    path = state / FOLDER / f"{job}.lock"
    if not path.exists():
        return False
    descriptor = lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False
