"""Which process is alive: each one holds the lock of one file, `worker-N.lock`.

The kernel drops the lock of a process that dies, however it dies, so a slot that can be locked
belongs to nobody: what its last holder left unfinished may be taken over.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Slot:
    """The first free slot of a project, held until `release`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        number = 0
        while (descriptor := lock(folder / f"worker-{number}.lock")) is None:
            number += 1
        self.name = f"worker-{number}"
        self._descriptor = descriptor

    def abandoned(self) -> list[str]:
        """The slots that some process held once and none holds now."""
        names = []
        for path in sorted(self._folder.glob("worker-*.lock")):
            if path.stem != self.name and (descriptor := lock(path)) is not None:
                os.close(descriptor)
                names.append(path.stem)
        return names

    def release(self) -> None:
        os.close(self._descriptor)


def lock(path: Path) -> int | None:
    """The descriptor of a file whose lock is held now; `None` where another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
