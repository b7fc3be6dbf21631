"""`gesso service`: a project as a service of the user's own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Folder

if TYPE_CHECKING:
    from ..service import Service

service = typer.Typer(name="service", help="Keep a project up as a service of your own.")


class Manager(StrEnum):
    systemd = "systemd"
    launchd = "launchd"


Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="The service's name; else the folder's.")
]
For = Annotated[
    Manager | None, typer.Option("--for", help="Another service manager than this machine's.")
]


@service.command()
def install(folder: Folder = Path(), name: Name = None) -> None:
    """Write the service's file, and say how to start it."""
    from ..service import install as write

    found = _service(folder, name, None)
    write(found)
    print(f"{found.path} is written. To start it, now and at every login:\n  {found.start}")
    if found.manager == "systemd":
        print("To keep it up while you are logged out:\n  loginctl enable-linger")


@service.command()
def uninstall(folder: Folder = Path(), name: Name = None) -> None:
    """Remove the service's file, and say how to stop the service."""
    from ..service import uninstall as remove

    found = _service(folder, name, None)
    remove(found)
    print(f"{found.path} is removed. If the service is up, this stops it:\n  {found.stop}")


@service.command()
def show(folder: Folder = Path(), name: Name = None, manager: For = None) -> None:
    """Print the service's file without writing it."""
    print(_service(folder, name, manager).content, end="")


def _service(folder: Path, name: str | None, manager: Manager | None) -> Service:
    from ..runtime import agent_files
    from ..service import manager_here, service_of

    agent_files(folder)
    return service_of(folder, manager.value if manager else manager_here(), name=name)
