"""What several commands take alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The project's folder.")]
Project = Annotated[Path, typer.Option("--project", metavar="DIR", help="The project's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
