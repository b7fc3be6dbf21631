"""The pictures that runs were shown, by their digest: files of `.gesso/pictures`.

The store holds a conversation's text; what was seen in it lies here, so that a run that goes on
sees what it saw, whatever has become of the file. There is a bound to it: what nobody was shown for
the longest time goes first, and a conversation says then that it is gone.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

FOLDER = "pictures"
KEPT_BYTES = 1 << 30


class Pictures:
    """Those of one project; `state` is the folder of its state."""

    def __init__(self, state: Path, kept_bytes: int = KEPT_BYTES) -> None:
        self._folder = state / FOLDER
        self._kept_bytes = kept_bytes

    def keep(self, data: bytes) -> str:
        """Keep a picture's file; its digest."""
        digest = hashlib.sha256(data).hexdigest()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        file = self._folder / digest
        if not file.exists():
            new = file.with_name(f"{digest}.{os.getpid()}.new")
            new.write_bytes(data)
            new.replace(file)
        os.utime(file)
        self._make_room()
        return digest

    def get(self, digest: str) -> bytes | None:
        """The picture of a digest; `None` where it is not kept any more."""
        file = self._folder / digest
        try:
            data = file.read_bytes()
            os.utime(file)
        except FileNotFoundError:
            return None
        return data

    def _make_room(self) -> None:
        """Let go what was not used for the longest time, but for the last one."""
        found = sorted(
            ((entry.stat(), Path(entry)) for entry in os.scandir(self._folder)),
            key=lambda one: one[0].st_mtime_ns,
        )
        size = sum(status.st_size for status, _ in found)
        for status, file in found[:-1]:
            if size <= self._kept_bytes:
                break
            file.unlink(missing_ok=True)
            size -= status.st_size
