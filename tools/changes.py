"""What a call would change in a file, for the person who is to approve it: a unified diff."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from .errors import ArgumentError, WorkspaceError
from .files import edit_file, edited, write_file
from .redactor import Redactor
from .workspace import Workspace

COMPARED_BYTES = 200_000
"""Of each side: lines that are much alike take their square of time to compare."""
LINES = 400
"""Lines of a diff that are shown."""


def changes_of(
    name: str, arguments: Mapping[str, Any], workspace: Workspace, redactor: Redactor
) -> str | None:
    """The diff of a call that writes a file, without secrets; `None` of any other call. What keeps
    it from being told is told in its place."""
    if name not in (write_file.name, edit_file.name):
        return None
    path = str(arguments.get("path", ""))
    try:
        before = _text(workspace, path, new=name == write_file.name)
        if name == write_file.name:
            after = str(arguments.get("text", ""))
        else:
            old, new = str(arguments.get("old", "")), str(arguments.get("new", ""))
            after, _ = edited(before or "", path, old, new)
    except (ArgumentError, WorkspaceError) as error:
        return f"[no diff: {redactor.blank(str(error))}]"
    if len(after) > COMPARED_BYTES:
        return f"[no diff: {len(after):,} characters are more than are compared]"
    if before == after:
        return f"[{path} says this already]"
    lines = list(
        difflib.unified_diff(
            redactor.blank(before or "").splitlines(),
            redactor.blank(after).splitlines(),
            "no file yet" if before is None else path,
            path,
            lineterm="",
        )
    )
    if not lines:
        return "[no line that can be shown differs]"
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"[cut: {LINES} of {len(lines):,} lines are shown]"]
    return "\n".join(lines)


def _text(workspace: Workspace, path: str, *, new: bool) -> str | None:
    """A file's text; `None` where there may be none and is none."""
    if new and not workspace.resolve(path).exists():
        return None
    read = workspace.read(path, limit=COMPARED_BYTES)
    if not read.whole:
        raise WorkspaceError(f"{path}: {read.size:,} bytes are more than are compared")
    return read.text
