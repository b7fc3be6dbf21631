"""The one folder that an agent's paths are held to.

A path is resolved first, links and all, and judged by where it ends: `..`, absolute paths and
links may be used as long as they stay inside. Hidden files and folders (gesso's own state is one)
are outside.
"""

from __future__ import annotations

from pathlib import Path

from .errors import WorkspaceError


class Workspace:
    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    def resolve(self, path: str) -> Path:
        """Where `path` leads, which is inside the workspace, or `WorkspaceError`."""
        if "\0" in path:
            raise WorkspaceError("a path cannot hold a NUL character")
        try:
            target = (self.root / path).resolve()
            inside = target.relative_to(self.root)
        except (OSError, RuntimeError, ValueError):
            raise WorkspaceError(f"{path}: outside the workspace") from None
        if any(part.startswith(".") for part in inside.parts):
            raise WorkspaceError(f"{path}: hidden files are outside the workspace")
        return target

    def name(self, target: Path) -> str:
        """The path of `target` as a call would write it."""
        return target.relative_to(self.root).as_posix()

    def read(self, path: str) -> str:
        target = self.resolve(path)
        try:
            if target.is_dir():
                raise WorkspaceError(f"{path}: is a folder, not a file")
            return target.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise WorkspaceError(f"{path}: is not a text file in UTF-8") from None
        except OSError as error:
            raise WorkspaceError(f"{path}: {error.strerror or error}") from None

    def list(self, folder: str) -> list[str]:
        """The entries of a folder, sorted; folders end in a slash."""
        target = self.resolve(folder)
        try:
            entries = sorted(target.iterdir())
        except OSError as error:
            raise WorkspaceError(f"{folder}: {error.strerror or error}") from None
        return [
            self.name(entry) + "/" * entry.is_dir()
            for entry in entries
            if not entry.name.startswith(".")
        ]
