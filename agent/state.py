"""Where a project keeps what it knows: the folder `.gesso` in its own."""

from __future__ import annotations

from pathlib import Path

from .errors import ProjectError

STATE = ".gesso"
SECRETS = "secrets"


def state_of(folder: Path) -> Path:
    """The folder of a project's state, made where there is none. Raises `ProjectError` where there
    is no such project."""
    if not folder.is_dir():
        raise ProjectError(f"{folder}: no such folder")
    state = folder / STATE
    if not state.is_dir():
        state.mkdir(mode=0o700, exist_ok=True)
        (state / ".gitignore").write_text("*\n")
    return state
