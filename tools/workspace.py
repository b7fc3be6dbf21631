"""The one folder that an agent's paths are held to.

A path is relative, climbs nowhere (`..`), and names nothing hidden (gesso's own state is). Reading
follows a link that stays inside; writing follows none, so that what is written lies where the call
says. A file is opened folder by folder, each by its descriptor and none through a link: what was
judged is what is opened, whatever is renamed or linked meanwhile. Only regular files are read, so
that no pipe can hold a run and no device can feed it.
"""

from __future__ import annotations

import codecs
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import WorkspaceError

OWN_FOLDERS = ("agents", "skills")
OWN_FILE = "AGENTS.md"
"""The agents' own: who writes there gives permissions and instructions."""

SETTINGS_FILE = "gesso.toml"
"""The project's settings: who writes there chooses the model and who can reach the runtime."""

SERVERS_FILE = "mcp.json"
"""The file of the MCP servers: who writes there chooses programs that run outside of a sandbox."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Text:
    """The beginning of a file's text; `size` is the whole file's, in bytes."""

    text: str
    size: int
    whole: bool


class Workspace:
    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    def resolve(self, path: str) -> Path:
        """Where `path` leads, which is inside the workspace, or `WorkspaceError`."""
        written = self._parts(path)
        try:
            target = self.root.joinpath(*written).resolve()
            inside = target.relative_to(self.root)
        except (OSError, RuntimeError, ValueError):
            raise WorkspaceError(f"{path}: outside the workspace") from None
        if _hidden(inside.parts):
            raise WorkspaceError(f"{path}: hidden files are outside the workspace")
        return target

    def name(self, target: Path) -> str:
        """The path of `target` as a call would write it."""
        return target.relative_to(self.root).as_posix()

    def read(self, path: str, *, limit: int | None = None) -> Text:
        """A file's text, or of a longer one the first `limit` bytes' worth."""
        target = self.resolve(path)
        with self._complaints(path):
            if target == self.root:
                raise WorkspaceError(f"{path}: is a folder, not a file")
            with self._folder(self.name(target.parent).split("/")) as folder:
                return read_at(folder, target.name, path, limit)

    def regular(self, path: str) -> Path:
        """Where a regular file lies, for libraries that open files themselves."""
        target = self.resolve(path)
        with self._complaints(path):
            if not stat.S_ISREG(target.lstat().st_mode):
                raise WorkspaceError(f"{path}: is no regular file")
        return target

    def writable(self, path: str) -> Path:
        """Where a file lies, or would lie, that may be written, for libraries that write files
        themselves: no link leads there."""
        parts = self._written(path)
        target = self.root.joinpath(*parts)
        if self.resolve(path) != target:
            raise WorkspaceError(f"{path}: is behind a link, and is not written through")
        return target

    def write(self, path: str, text: str) -> None:
        """Make or replace a file as a whole: who reads meanwhile sees the old or the new text."""
        parts = self._written(path)
        name, new = parts[-1], f".{secrets.token_hex(8)}"
        with self._complaints(path), self._folder(parts[:-1], make=True) as folder:
            mode = _writable(folder, name, path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(new, flags, 0o666, dir_fd=folder)
            try:
                with open(descriptor, "w", encoding="utf-8", newline="") as file:
                    file.write(text)
                    file.flush()
                    if mode is not None:
                        os.fchmod(descriptor, mode)
                    os.fsync(descriptor)
                os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(new, dir_fd=folder)
                raise

    def list(self, folder: str) -> list[str]:
        """The entries of a folder, sorted; folders end in a slash."""
        target = self.resolve(folder)
        with self._complaints(folder), self._folder(self.name(target).split("/")) as descriptor:
            entries = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in os.scandir(descriptor)
                if not entry.name.startswith(".")
            )
        return [self.name(target / name) + "/" * is_folder for name, is_folder in entries]

    def files(self, folder: str) -> Iterator[tuple[str, int, str]]:
        """The files at any depth, sorted folder by folder, without hidden ones, to be read by
        `read_at`. Links to folders are not followed.

        Each is the path as a call would write it, then its folder's descriptor, open until the next
        file is asked for, and its name there.
        """
        target = self.resolve(folder)
        top = self.name(target)
        with self._complaints(folder), self._folder(top.split("/")) as descriptor:
            for below, folders, names, opened in os.fwalk(dir_fd=descriptor):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(name for name in names if not name.startswith(".")):
                    yield PurePosixPath(top, below, name).as_posix(), opened, name

    def _written(self, path: str) -> list[str]:
        """The names that the path of a file is made of that may be written."""
        parts = self._parts(path)
        if not parts:
            raise WorkspaceError(f"{path}: is a folder, not a file")
        if parts[0] in (*OWN_FOLDERS, OWN_FILE):
            raise WorkspaceError(f"{path}: the agents' own files are not theirs to write")
        if parts[0] == SETTINGS_FILE:
            raise WorkspaceError(f"{path}: the project's settings are not theirs to write")
        if parts[0] == SERVERS_FILE:
            raise WorkspaceError(f"{path}: the MCP servers are not the agents' to choose")
        return parts

    def _parts(self, path: str) -> list[str]:
        """The names that a call's path is made of."""
        if "\0" in path:
            raise WorkspaceError("a path cannot hold a NUL character")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/"):
            raise WorkspaceError(f"{path}: outside the workspace: write a path relative to it")
        if ".." in parts:
            raise WorkspaceError(f"{path}: outside the workspace: write it without ..")
        if _hidden(parts):
            raise WorkspaceError(f"{path}: hidden files are outside the workspace")
        return parts

    @contextmanager
    def _folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """The descriptor of a folder, reached through no link; `make` creates what is missing."""
        descriptor = os.open(self.root, FOLDER)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                below = os.open(part, FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _complaints(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkspaceError(f"{path}: {error.strerror or error}") from None


def read_at(folder: int, name: str, path: str, limit: int | None = None) -> Text:
    """The text of the regular file `name` in an open folder; `path` is what complaints call it."""
    descriptor = os.open(name, FILE, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise WorkspaceError(f"{path}: is a folder, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise WorkspaceError(f"{path}: is no regular file")
    except BaseException:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as file:
        content = file.read() if limit is None else file.read(limit)
        whole = limit is None or not file.read(1)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
    except UnicodeDecodeError:
        raise WorkspaceError(f"{path}: is not a text file in UTF-8") from None
    return Text(text, status.st_size, whole)


def _writable(folder: int, name: str, path: str) -> int | None:
    """The permission bits of the file that will be replaced, None where there is none."""
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise WorkspaceError(f"{path}: is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise WorkspaceError(f"{path}: is a link or no regular file, and is not written through")
    return stat.S_IMODE(mode)


def _hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") for part in parts)
