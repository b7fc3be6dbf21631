"""A project as a service of the user's own: a systemd unit on Linux, a launchd list on macOS.

The files hold absolute paths alone and none of the shell's environment: what a project needs stands
in its `gesso.toml` and its file of secrets. Nothing here starts or stops a service.
"""

from __future__ import annotations

import plistlib
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import ServiceError
from .state import STATE

Manager = Literal["systemd", "launchd"]


@dataclass(frozen=True)
class Service:
    """A project's service. `start` and `stop` are the commands that a person calls next."""

    manager: Manager
    name: str
    path: Path
    content: str
    start: str
    stop: str


def manager_here() -> Manager:
    """The service manager of this platform, or `ServiceError`."""
    if sys.platform.startswith("linux"):
        return "systemd"
    if sys.platform == "darwin":
        return "launchd"
    raise ServiceError(f"{sys.platform} has no service manager that gesso knows: run `gesso up`")


def service_of(folder: Path, manager: Manager, *, name: str | None = None) -> Service:
    """The service of the project in `folder`, called after it where no name is given.

    Raises:
        ServiceError: the name is none, or a path cannot be written in such a file.
    """
    folder = folder.resolve()
    if name is None:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-") or "project"
    elif not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ServiceError(f"{name!r} is no name of letters, digits, - and _")
    # not resolved: the link in a virtual environment's folder is what makes it one
    program = [sys.executable, "-m", "gesso.agent", "up", str(folder)]
    for text in program:
        if not text.isprintable():
            raise ServiceError(f"{text!r}: a path with control characters cannot be a service's")
    if manager == "systemd":
        unit = f"gesso-{name}.service"
        return Service(
            manager=manager,
            name=name,
            path=Path.home() / ".config" / "systemd" / "user" / unit,
            content=_unit(name, program, folder),
            start=f"systemctl --user daemon-reload && systemctl --user enable --now {unit}",
            stop=f"systemctl --user disable --now {unit}",
        )
    label = f"gesso.{name}"
    path = Path.home() / "Library" / "LaunchAgents" / f"{label}.plist"
    return Service(
        manager=manager,
        name=name,
        path=path,
        content=_property_list(label, program, folder),
        start=f"launchctl bootstrap gui/$(id -u) {shlex.quote(str(path))}",
        stop=f"launchctl bootout gui/$(id -u)/{label}",
    )


def install(service: Service) -> None:
    """Write the service's file; an older one of the same project is replaced.

    Raises:
        ServiceError: the file cannot be written, or is another project's.
    """
    _look(service)
    try:
        service.path.parent.mkdir(parents=True, exist_ok=True)
        service.path.write_text(service.content, encoding="utf-8")
    except OSError as error:
        raise ServiceError(f"{service.path}: {error.strerror or error}") from None


def uninstall(service: Service) -> None:
    """Remove the service's file.

    Raises:
        ServiceError: there is none, or it is another project's.
    """
    if not _look(service):
        raise ServiceError(f"{service.path}: is not installed")
    service.path.unlink()


def _look(service: Service) -> bool:
    """Whether the file is there; what tells a project is the line of its folder."""
    try:
        lines = service.path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError(f"{service.path}: {error}") from None
    if _folder_line(service.content.splitlines()) != _folder_line(lines):
        raise ServiceError(
            f"{service.path}: is the service of another project: give this one a --name"
        )
    return True


def _folder_line(lines: Sequence[str]) -> str | None:
    """The line that names the folder, in either form."""
    for number, line in enumerate(lines):
        if line.startswith("WorkingDirectory="):
            return line
        if line.strip() == "<key>WorkingDirectory</key>":
            return lines[number + 1].strip()
    return None


def _unit(name: str, program: Sequence[str], folder: Path) -> str:
    """Forms of systemd.unit(5), .service(5) and .exec(5).

    Left out, because bubblewrap could not make its own namespaces and mounts any more:
    RestrictNamespaces, ProtectProc, ProtectKernelTunables, ProtectControlGroups, PrivateDevices,
    a SystemCallFilter. Left out for torch, which writes code: MemoryDenyWriteExecute.
    """
    path = str(folder)
    if path.endswith(("\\", " ")):
        raise ServiceError(f"{path!r}: systemd cannot be given a folder that ends so")
    if set(program[0]) & set("\"'\\"):
        raise ServiceError(f"{program[0]}: systemd runs no program with a quote or backslash in it")
    # `:` keeps systemd from expanding variables, which it would even in the program's own name
    command = " ".join([_word(f":{program[0]}"), *map(_word, program[1:])])
    return f"""\
[Unit]
Description=gesso: {name}
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=exec
WorkingDirectory={path.replace("%", "%%")}
ExecStart={command}
Restart=on-failure
RestartSec=5
# bad settings or agents: starting again would not mend them
RestartPreventExitStatus=2
# the step that is running is finished first; what it began in a sandbox ends with it
KillMode=mixed
TimeoutStopSec=120
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""


def _word(text: str) -> str:
    """One word of a command line, by the rules of systemd.syntax(7): quoted, C escapes, and no
    specifiers."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _property_list(label: str, program: Sequence[str], folder: Path) -> str:
    log = str(folder / STATE / "up.log")
    content = {
        "Label": label,
        "ProgramArguments": list(program),
        "WorkingDirectory": str(folder),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ExitTimeOut": 120,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    return plistlib.dumps(content, sort_keys=False).decode()
