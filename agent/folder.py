"""A folder that is watched: every file that is there, or comes, once it has stopped growing.

Knows nothing of runs; a file that changes is given again, and whoever listens decides whether it
is new.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from watchfiles import watch

LOOK_MILLISECONDS = 400


def looks(folder: Path, stop: threading.Event, *, recursive: bool = False) -> Iterator[set[Path]]:
    """What has changed in the folder since the last look, often nothing, until `stop` is set; at
    the first look, all that is in it."""
    # The first look comes after the watch has begun, so that no file falls between the two.
    first = True
    for changes in watch(
        folder,
        watch_filter=None,
        debounce=LOOK_MILLISECONDS,
        rust_timeout=LOOK_MILLISECONDS,
        yield_on_timeout=True,
        stop_event=stop,
        recursive=recursive,
    ):
        changed = {Path(name) for _, name in changes}
        yield changed | set(folder.iterdir()) if first else changed
        first = False


def settled_files(
    folder: Path, pattern: str, stop: threading.Event, *, recursive: bool = False
) -> Iterator[Path]:
    """Until `stop` is set. A file has settled when its size and time were the same two looks
    in a row. What is hidden, or `recursive` finds in a hidden folder, is none of it."""
    pending: dict[Path, tuple[int, int] | None] = {}
    for changed in looks(folder, stop, recursive=recursive):
        if recursive:  # a folder may have come with files in it
            changed |= {below for path in changed if path.is_dir() for below in path.rglob("*")}
        for path in sorted(changed):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if fnmatch(path.name, pattern) and not hidden:
                pending[path] = None
        for path, before in sorted(pending.items()):
            now = _fingerprint(path)
            if now is None:
                del pending[path]
            elif now == before:
                del pending[path]
                yield path
            else:
                pending[path] = now


def _fingerprint(path: Path) -> tuple[int, int] | None:
    """Size and time of a regular file, `None` of anything else."""
    if not path.is_file():
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
