"""The one `gesso up` of a project: it holds the lock of `.gesso/up.lock` and has its pid in it.

The kernel drops the lock of a process that dies, however it dies; a file that is left over means
nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .errors import InstanceError

FILE = "up.lock"
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Instance:
    """A process that is up, and since when."""

    pid: int
    since: datetime


@contextmanager
def held(state: Path) -> Iterator[Instance]:
    """Be the project's instance, or raise `InstanceError` with the pid of the one that is.

    `state` is the project's folder of state, which is there.
    """
    descriptor = os.open(state / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Several times: who merely looks holds the lock for a moment too.
        for _ in range(5):
            if _locked(descriptor, fcntl.LOCK_EX):
                break
            time.sleep(LOOK_SECONDS)
        else:
            other = running(state)
            who = "" if other is None else f", as process {other.pid}"
            raise InstanceError(
                f"{state.parent} is up already{who}: stop it with `gesso stop`, or watch it with "
                "`gesso status`"
            )
        instance = Instance(os.getpid(), datetime.now(UTC))
        content = {"pid": instance.pid, "since": instance.since.isoformat()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(content).encode(), 0)
        yield instance
    finally:
        os.close(descriptor)


def running(state: Path) -> Instance | None:
    """The project's instance; `None` where none is up."""
    try:
        descriptor = os.open(state / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        while not _locked(descriptor, fcntl.LOCK_SH):
            # The holder writes right after it has locked: what is read later is its own, and no
            # pid of a process that died.
            time.sleep(LOOK_SECONDS)
            content = os.pread(descriptor, 200, 0)
            if content and not _locked(descriptor, fcntl.LOCK_SH):
                fields = json.loads(content)
                return Instance(fields["pid"], datetime.fromisoformat(fields["since"]))
        return None
    finally:
        os.close(descriptor)


def stop(state: Path, seconds: float) -> Instance:
    """End the project's instance after its current step, and return what it was.

    Raises:
        InstanceError: none is up, or it still is after `seconds`.
    """
    instance = running(state)
    if instance is None:
        raise InstanceError(f"{state.parent} is not up")
    try:
        os.kill(instance.pid, signal.SIGTERM)
    except ProcessLookupError:
        return instance  # it has ended by itself meanwhile
    except PermissionError:
        raise InstanceError(f"process {instance.pid} is another user's") from None
    end = time.monotonic() + seconds
    while running(state) == instance:
        if time.monotonic() > end:
            raise InstanceError(
                f"process {instance.pid} is still up after {seconds:g} seconds: it stops when its "
                "current step is done. Another `gesso stop` ends it at once; its runs go on at the "
                "next start"
            )
        time.sleep(LOOK_SECONDS)
    return instance


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
