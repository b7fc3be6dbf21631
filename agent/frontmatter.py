"""An agent's or a skill's file, taken apart: YAML between two `---` lines, then Markdown.

Knows which line every field stands on, so that a complaint can name it. Nothing here knows what
the fields mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import AgentFileError

FENCE = "---"


@dataclass(frozen=True)
class FrontMatter:
    path: Path
    fields: dict[str, Any]
    body: str
    root: yaml.MappingNode

    def line(self, location: tuple[str | int, ...]) -> int:
        """The line of the innermost part of `location` that the file has."""
        node: yaml.Node = self.root
        line = node.start_mark.line
        for part in location:
            if isinstance(node, yaml.MappingNode):
                found = [pair for pair in node.value if pair[0].value == part]
                if not found:
                    break
                key, node = found[0]
                line = key.start_mark.line
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line
        return line + 2  # the first line of the YAML is the second of the file

    def error(self, location: tuple[str | int, ...], what: str) -> AgentFileError:
        field = ".".join(str(part) for part in location)
        where = f"{self.path}:{self.line(location)}"
        return AgentFileError(f"{where}: {field}: {what}" if field else f"{where}: {what}")


def read(path: Path) -> FrontMatter:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AgentFileError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise AgentFileError(f"{path}: is not a text file in UTF-8") from None
    lines = text.splitlines()
    if not lines or lines[0].rstrip() != FENCE:
        raise AgentFileError(f"{path}:1: the file must begin with a line of {FENCE}, then YAML")
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), None)
    if end is None:
        raise AgentFileError(f"{path}:1: the front matter is not closed by a line of {FENCE}")
    try:
        source = "\n".join(lines[1:end])
        root = yaml.compose(source, Loader=yaml.SafeLoader)
        fields = yaml.safe_load(source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 2}" if mark else f"{path}"
        raise AgentFileError(f"{where}: {error.problem or error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise AgentFileError(f"{path}: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise AgentFileError(f"{path}:2: the front matter is no list of `field: value`")
    front = FrontMatter(path, fields, "\n".join(lines[end + 1 :]).strip(), root)
    _refuse_doubles(front, root, ())
    return front


def _refuse_doubles(front: FrontMatter, node: yaml.Node, location: tuple[str | int, ...]) -> None:
    """YAML's reader keeps the last of two equal keys in silence."""
    if isinstance(node, yaml.SequenceNode):
        for n, item in enumerate(node.value):
            _refuse_doubles(front, item, (*location, n))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                field = ".".join(str(part) for part in (*location, key.value))
                line = key.start_mark.line + 2
                raise AgentFileError(f"{front.path}:{line}: {field}: stands here twice")
            seen.add(key.value)
            _refuse_doubles(front, value, (*location, key.value))
