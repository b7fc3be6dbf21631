"""The tools on the workspace's files: read, write, edit, list, search."""

from __future__ import annotations

import time
from pathlib import PurePosixPath
from typing import Annotated

import regex
from pydantic import Field

from .documents import CONVERTED, DocumentReader
from .errors import ArgumentError, DocumentError, WorkspaceError
from .output import OUTPUT_LIMIT
from .tool import Context, Kind, Shown, tool
from .workspace import Workspace, read_at

_CONVERTED = CONVERTED.keys() - {".html", ".htm"}
"""Suffixes of documents that are no text as they stand; a page's source is one."""

EDIT_LIMIT = 4_000_000
"""Bytes of the largest file that is edited."""

MATCHES = 100
"""Lines that a search shows."""

SEARCHED_BYTES = 50_000_000
SEARCH_SECONDS = 5.0
LINE_LIMIT = 300
"""Characters of a line that a search shows."""

FilePath = Annotated[str, Kind.PATH, Field(description="Path of the file")]
FolderPath = Annotated[str, Kind.PATH, Field(description="Path of the folder")]


@tool(idempotent=True)
def read_file(path: FilePath, context: Context) -> str | Shown:
    """Read a file."""
    if PurePosixPath(path).suffix.lower() not in _CONVERTED:
        return beginning(context.workspace, path, context)
    with DocumentReader(pictures=context.sees) as reader:
        try:
            found = reader.read(context.workspace.regular(path))
        except DocumentError as error:
            raise WorkspaceError(f"{path}: {error}") from None
    if not found.pictures:
        return context.cut(found.text)
    count = len(found.pictures)
    told = f"[{path}: {count} {'picture is' if count == 1 else 'pictures are'} shown behind this]"
    return Shown(f"{context.cut(found.text)}{told}", [one.data for one in found.pictures])


@tool(idempotent=True)
def read_lines(
    path: FilePath,
    first: Annotated[int, Field(ge=1, description="First line, counted from 1")],
    last: Annotated[int, Field(ge=1, description="Last line")],
    context: Context,
) -> str:
    """Read some lines of a text file, each with its number."""
    lines = _whole(path, context).splitlines()
    chosen = enumerate(lines[first - 1 : last], first)
    shown = "\n".join(f"{number}: {line}" for number, line in chosen)
    return context.cut(shown) if shown else f"[{path} has {len(lines):,} lines]"


@tool(idempotent=True)
def write_file(path: FilePath, text: str, context: Context) -> str:
    """Write a text file, in place of the one that is there."""
    context.workspace.write(path, text)
    return f"{path}: {len(text):,} characters written"


@tool
def edit_file(
    path: FilePath,
    old: Annotated[str, Field(description="The exact text to replace; it stands there once")],
    new: Annotated[str, Field(description="The text in its place")],
    context: Context,
) -> str:
    """Replace one passage of a text file."""
    text, line = edited(_whole(path, context), path, old, new)
    context.workspace.write(path, text)
    return f"{path}: line {line} edited"


@tool(idempotent=True)
def list_files(folder: FolderPath, context: Context) -> str:
    """List the files of a folder."""
    return context.cut("\n".join(context.workspace.list(folder)))


@tool(idempotent=True)
def search_files(
    text: Annotated[str, Field(min_length=1, max_length=500, description="What to look for")],
    context: Context,
    folder: FolderPath = ".",
    pattern: Annotated[bool, Field(description="Whether text is a regular expression")] = False,
) -> str:
    """Find the lines of the files in a folder, and in the folders below, that hold a text."""
    try:
        wanted = regex.compile(text if pattern else regex.escape(text))
    except regex.error as error:
        raise ArgumentError(f"search_files: text: {error}") from None
    deadline = time.monotonic() + SEARCH_SECONDS
    found: list[str] = []
    searched = 0
    end = ""
    try:
        for path, opened, name in context.workspace.files(folder):
            try:
                content = read_at(opened, name, path, SEARCHED_BYTES - searched + 1)
            except (WorkspaceError, OSError):
                continue  # no text, or gone since: neither holds what is looked for
            searched += content.size
            if searched > SEARCHED_BYTES:
                end = f"[stopped after {SEARCHED_BYTES:,} bytes: name a folder with less in it]"
                break
            for number, line in enumerate(content.text.splitlines(), 1):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                if wanted.search(line, timeout=left):
                    found.append(f"{path}:{number}: {context.cut(line.strip(), LINE_LIMIT)}")
            if len(found) >= MATCHES:
                found = found[:MATCHES]
                end = f"[cut: the first {MATCHES} lines are shown]"
                break
    except TimeoutError:
        end = f"[stopped after {SEARCH_SECONDS:g} seconds: look for something simpler]"
    return context.cut("\n".join([*found, end] if end else found) or "[nothing found]")


def edited(text: str, path: str, old: str, new: str) -> tuple[str, int]:
    """A file's text with one passage replaced, and the line on which that was. Raises
    `ArgumentError` where it does not stand there exactly once."""
    # a match may overlap the one before, which str.count would not see
    start = text.find(old)
    if not old or start < 0:
        raise ArgumentError(f"edit_file: old: does not stand in {path}; copy it from the file")
    if text.find(old, start + 1) >= 0:
        what = f"stands in {path} more than once; take more of what is around it"
        raise ArgumentError(f"edit_file: old: {what}")
    line = text.count("\n", 0, start) + 1
    return text[:start] + new + text[start + len(old) :], line


def beginning(workspace: Workspace, path: str, context: Context) -> str:
    """A file's text as a result shows it: without secrets, and no longer than that may be."""
    # a character takes at most four bytes
    read = workspace.read(path, limit=4 * OUTPUT_LIMIT)
    if read.whole:
        return context.cut(read.text)
    shown = context.secrets.redactor.blank(read.text)[:OUTPUT_LIMIT]
    return f"{shown}\n[cut: {len(shown):,} characters of a file of {read.size:,} bytes are shown]"


def _whole(path: str, context: Context) -> str:
    read = context.workspace.read(path, limit=EDIT_LIMIT)
    if not read.whole:
        what = f"has {read.size:,} bytes, more than the {EDIT_LIMIT:,} that are handled"
        raise WorkspaceError(f"{path}: {what}")
    return read.text
