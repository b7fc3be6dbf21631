"""Runs one command, watches all that comes of it, and leaves none of it behind.

A program of its own, `python -I -S supervisor.py SPECIFICATION`, as limits must be set between fork
and exec, which a process with threads cannot do safely. It knows nothing of gesso. The
specification is JSON: `command`, `folder`, `environment`, `seconds`, `cpu_seconds`, `memory` and
`file_size` in bytes, `processes`.

The command writes to the standard output. The standard input is a lifeline: when it closes, or is
closed by the death of who holds it, the command is ended. At the end one line of JSON is written to
the standard error: `ended` is "exit", "time", "memory", "processes" or "lifeline", `code` the exit
code where there is one, negative for a signal.

The kernel's limits are a process's; what counts here is the whole tree: its processes and their
resident memory are looked at every few milliseconds. Orphans come to the supervisor (it is their
subreaper), so that nobody leaves the tree by a double fork or a session of their own. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

PR_SET_CHILD_SUBREAPER = 36
INTERVAL = 0.02
SWEEP_SECONDS = 5.0
PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    identifier: int
    parent: int
    threads: int
    memory: int  # resident, in bytes


def main() -> None:
    specification = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    deadline = time.monotonic() + specification["seconds"]
    try:
        child = subprocess.Popen(
            specification["command"],
            cwd=specification["folder"],
            env=specification["environment"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _limit(specification),
        ).pid
    except OSError as error:
        print(json.dumps({"ended": "error", "error": str(error)}), file=sys.stderr)
        return
    ended, code = _watch(child, deadline, specification)
    _sweep(child)
    print(json.dumps({"ended": ended, "code": code}), file=sys.stderr)


def _limit(specification: dict[str, Any]) -> None:
    """In the child, before the command: the kernel's limits, and less of the processor than we."""
    os.nice(5)
    used = sum(process.threads for process in _processes(of_user=os.getuid()))
    limits = {
        resource.RLIMIT_CPU: specification["cpu_seconds"],
        resource.RLIMIT_DATA: specification["memory"],
        resource.RLIMIT_FSIZE: specification["file_size"],
        resource.RLIMIT_NPROC: used + specification["processes"],  # counts all of the user's
        resource.RLIMIT_CORE: 0,
    }
    for limit, wanted in limits.items():
        _, hard = resource.getrlimit(limit)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))


def _watch(child: int, deadline: float, specification: dict[str, Any]) -> tuple[str, int | None]:
    """Wait until the command ends, or has to be ended, and say why."""
    while True:
        for identifier, code in _reaped():
            if identifier == child:
                return "exit", code
        tree = _descendants()
        if sum(process.threads for process in tree) > specification["processes"]:
            return "processes", None
        if sum(process.memory for process in tree) > specification["memory"]:
            return "memory", None
        left = deadline - time.monotonic()
        if left <= 0:
            return "time", None
        readable, _, _ = select.select([sys.stdin], [], [], min(INTERVAL, left))
        if readable:
            return "lifeline", None


def _sweep(child: int) -> None:
    """Kill until nothing is left. The session goes at one blow, which no fork outruns."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        tree = _descendants()
        for process in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.identifier, signal.SIGKILL)
        for _ in _reaped():
            continue
        if not tree:
            return


def _reaped() -> Iterator[tuple[int, int]]:
    """The ended children, taken from the kernel's table: identifier and exit code."""
    with contextlib.suppress(ChildProcessError):
        while True:
            identifier, status = os.waitpid(-1, os.WNOHANG)
            if identifier == 0:
                return
            yield identifier, os.waitstatus_to_exitcode(status)


def _descendants() -> list[Process]:
    children: dict[int, list[Process]] = {}
    for process in _processes():
        children.setdefault(process.parent, []).append(process)
    found = list(children.get(os.getpid(), ()))
    for process in found:  # grows while it is walked
        found.extend(children.get(process.identifier, ()))
    return found


def _processes(of_user: int | None = None) -> Iterator[Process]:
    """All of the machine that can be seen, or a user's."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it may end while it is read
            if of_user is not None and entry.stat().st_uid != of_user:
                continue
            with open(f"/proc/{entry.name}/stat", "rb") as file:
                # the name, in parentheses, may hold anything; see proc_pid_stat(5)
                fields = file.read().rpartition(b")")[2].split()
            yield Process(int(entry.name), int(fields[1]), int(fields[17]), int(fields[21]) * PAGE)


if __name__ == "__main__":
    main()
