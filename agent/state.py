"""Where a project keeps what it knows: the folder `.gesso` in its own, and its store there or in
PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from .errors import ProjectError
from .settings import Settings

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


def store_of(folder: Path, settings: Settings) -> str | Path:
    """Where a project's store is: the address that its settings name, or else a file."""
    return settings.database_url or folder / STATE / "store.db"


def has_store(folder: Path, settings: Settings) -> bool:
    """Whether anything was ever kept. In PostgreSQL nobody looks: a store is made by opening it."""
    where = store_of(folder, settings)
    return isinstance(where, str) or where.is_file()
