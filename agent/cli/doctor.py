"""`gesso doctor`: what is wrong with this machine or project, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from .options import Folder, Json

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(folder: Folder = Path(), as_json: Json = False) -> None:
    """Look at the machine and the project; exit code 1 where there is a problem."""
    from rich.console import Console
    from rich.text import Text

    from ..doctor import examine
    from .output import print_json

    console = Console(soft_wrap=True)
    checks = []
    for check in examine(folder.resolve()):
        checks.append(check)
        if not as_json:
            line = Text.assemble(
                (f"{check.level:<8}", STYLES[check.level]), f"{check.subject}: {check.finding}"
            )
            console.print(line)
            if check.advice:
                console.print(Text(f"        {check.advice}"))
    if as_json:
        print_json([asdict(check) for check in checks])
    if any(check.level == "problem" for check in checks):
        raise typer.Exit(1)
