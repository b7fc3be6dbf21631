"""Where an agent's commands run: in bubblewrap, or, where the user says so, without a sandbox.

In bubblewrap a command has no network, sees the system's programs read-only and of the user's files
the workspace alone, without what is hidden in it, and cannot write the agents' own files. Without
it, it may do whatever the user may. Both ways it has a time, and limits of memory, processes,
processor time, file size and output, and none of its processes outlives the call. It inherits
nothing of the environment, where secrets are.
"""

from __future__ import annotations

import json
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import supervisor
from .errors import SandboxError
from .output import OUTPUT_LIMIT
from .workspace import OWN_FILE, OWN_FOLDERS, SERVERS_FILE, SETTINGS_FILE, Workspace

Sandbox = Literal["bubblewrap", "none"]
PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SETTINGS = ("alternatives", "group", "ld.so.cache", "localtime", "nsswitch.conf", "passwd")
FLOOD = 16_000_000
"""Bytes of output after which a command is ended."""

GRACE = 15.0
"""Seconds that the supervisor has beyond the command's."""


@dataclass(frozen=True)
class Limits:
    """`memory` (resident, of all processes together) and `file_size` are in bytes, `output` is what
    is shown of the output, in characters; `processes` counts threads."""

    seconds: float = 60.0
    cpu_seconds: int = 60
    memory: int = 1 << 30
    processes: int = 64
    file_size: int = 256 << 20
    output: int = OUTPUT_LIMIT


@dataclass(frozen=True)
class Outcome:
    """What a command wrote (both outputs, in one), and how it ended: by itself with `code`
    (negative: by that signal), or because a limit was met, which `stopped` says."""

    output: str
    code: int | None = None
    stopped: str | None = None

    @property
    def text(self) -> str:
        """What the model is told."""
        if self.stopped is not None:
            return f"{self.output}\n[stopped: {self.stopped}]".lstrip("\n")
        if self.code:
            return f"{self.output}\n[exit code {self.code}]".lstrip("\n")
        return self.output or "[no output]"


def run(
    command: Sequence[str],
    workspace: Workspace,
    sandbox: Sandbox,
    limits: Limits | None = None,
    *,
    blank: Callable[[str], str] = str,
) -> Outcome:
    """Run a command in the workspace. Raises `SandboxError` where it must not or cannot.

    `blank` takes the secrets out of the output, before its middle is cut out.
    """
    limits = limits or Limits()
    if not sys.platform.startswith("linux"):
        raise SandboxError("commands run on Linux alone")
    with tempfile.TemporaryDirectory(prefix="gesso-") as scratch:
        if sandbox == "none":
            home = scratch
        else:
            home = "/tmp"
            command = bubblewrap(
                command,
                program=_bubblewrap_program(),
                root=workspace.root,
                scratch=Path(scratch),
                hidden=_hidden(workspace.root),
                pythons=[Path(sys.base_prefix), Path(sys.prefix)],
            )
        environment = {"PATH": PROGRAMS, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"}
        return _supervise(command, workspace.root, environment, limits, blank)


def bubblewrap(
    command: Sequence[str],
    *,
    program: str,
    root: Path,
    scratch: Path,
    hidden: Sequence[Path] = (),
    pythons: Sequence[Path] = (),
) -> list[str]:
    """The command line that runs `command` in bubblewrap. Later mounts cover earlier ones.

    `scratch` is what the command finds as /tmp (on disk: memory that a tmpfs takes is counted
    nowhere). `hidden` are the folders and files of the workspace that it finds empty. `pythons` are
    the interpreters' folders, where they are not the system's.
    """
    line = [program, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
    line += ["--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session"]
    line += ["--cap-drop", "ALL", "--hostname", "sandbox"]
    for folder in SYSTEM:
        line += ["--ro-bind-try", folder, folder]
    for name in SETTINGS:
        line += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    line += ["--proc", "/proc", "--dev", "/dev"]
    line += ["--bind", str(scratch), "/tmp", "--bind", str(scratch), "/dev/shm"]
    outside = [python for python in dict.fromkeys(pythons) if not python.is_relative_to("/usr")]
    inside = [python for python in outside if python.is_relative_to(root)]
    for python in outside:
        if python not in inside:
            line += ["--ro-bind", str(python), str(python)]
    line += ["--bind", str(root), str(root)]
    # a command that could make one of these could give itself permissions or instructions
    for own in [root / name for name in OWN_FOLDERS]:
        line += ["--ro-bind", str(own), str(own)] if own.is_dir() else ["--tmpfs", str(own)]
    for own in [root / name for name in (OWN_FILE, SETTINGS_FILE)]:
        line += ["--ro-bind", str(own) if own.is_file() else "/dev/null", str(own)]
    servers = root / SERVERS_FILE
    line += ["--ro-bind", str(servers), str(servers)] if servers.is_file() else []
    for path in hidden:
        covered = ["--tmpfs"] if path.is_dir() else ["--ro-bind", "/dev/null"]
        line += [*covered, str(path)]
    for python in inside:  # an environment is often hidden
        line += ["--ro-bind", str(python), str(python)]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(root)]
    return [*line, "--", *command]


def _bubblewrap_program() -> str:
    program = shutil.which("bwrap", path=PROGRAMS)
    if program is None:
        raise SandboxError(
            "commands run in bubblewrap, which is not installed: install it (the package is called "
            "bubblewrap), or write `sandbox: none` in the agent's file to do without"
        )
    return program


def _hidden(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.name.startswith(".") and not p.is_symlink())


def _supervise(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    limits: Limits,
    blank: Callable[[str], str],
) -> Outcome:
    specification = {
        "command": list(command),
        "folder": str(folder),
        "environment": environment,
        "seconds": limits.seconds,
        "cpu_seconds": limits.cpu_seconds,
        "memory": limits.memory,
        "processes": limits.processes,
        "file_size": limits.file_size,
    }
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(specification)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"the command cannot be run: {error.strerror or error}") from None
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            output, flooded = _gather(process, limits, blank)
            report = process.stderr.read()
        finally:
            process.stdin.close()  # the lifeline: whatever broke here, the command ends
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    try:
        ended = json.loads(report)
    except ValueError:
        raise SandboxError(f"the supervisor failed: {report.decode(errors='replace')}") from None
    if ended["ended"] == "error":
        raise SandboxError(f"the command cannot be run: {ended['error']}")
    stops = {
        "time": f"it took longer than {limits.seconds:g} seconds",
        "memory": f"it took more than {limits.memory:,} bytes of memory",
        "processes": f"it had more than {limits.processes} processes and threads",
        "lifeline": f"it wrote more than {FLOOD:,} bytes",
    }
    stopped = stops["lifeline"] if flooded else stops.get(ended["ended"])
    return Outcome(output, None if stopped else ended["code"], stopped)


def _gather(
    process: subprocess.Popen[bytes], limits: Limits, blank: Callable[[str], str]
) -> tuple[str, bool]:
    """The output, without its middle where it is long, and whether it was a flood."""
    assert process.stdout is not None
    assert process.stdin is not None
    # twice what is shown: a secret may lie across the edge
    kept, half = limits.output, limits.output // 2
    head, tail, size = bytearray(), bytearray(), 0
    deadline = time.monotonic() + limits.seconds + GRACE
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise SandboxError("the command could not be ended")
            piece = process.stdout.read1(65536)  # pyright: ignore[reportAttributeAccessIssue]
            if not piece:
                break
            size += len(piece)
            taken = min(len(piece), kept - len(head))
            head += piece[:taken]
            tail = (tail + piece[taken:])[-kept:]
            if size > FLOOD:
                process.stdin.close()
    if size == len(head) + len(tail):
        text = blank((head + tail).decode(errors="replace"))
        first, last = text[:half], text[-half:]
        if len(text) <= limits.output:
            return text.rstrip("\n"), False
    else:
        first = blank(head.decode(errors="replace"))[:half]
        last = blank(tail.decode(errors="replace"))[-half:]
    text = f"{first}\n[cut: the middle of {size:,} bytes is left out here]\n{last}"
    return text.rstrip("\n"), size > FLOOD
