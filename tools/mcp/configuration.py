"""The servers that a project names in `mcp.json` or `.mcp.json`, as for other MCP clients.

    {"mcpServers": {
        "files": {
            "command": "uvx", "args": ["mcp-server-files", "docs"], "env": {"KEY": "${FILES_KEY}"},
            "gesso": {"local": ["*"], "idempotent": ["read_*", "list_*"], "seconds": 20}
        },
        "tracker": {
            "type": "http", "url": "https://tracker.example.com/mcp",
            "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}
        }
    }}

`${NAME}`, or `${NAME:-what else}`, is the secret of that name, from the environment or the
project's secrets; it is blanked in all that the server says. What is written out here is not: the
file is no place for secrets. Fields that are not known here are other clients'. A server is run
with the user's rights, outside of any sandbox, and with few of our environment's variables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import SecretError, ServerError
from ..redactor import Redactor
from ..secret import SHORTEST, look_up

FILES = ("mcp.json", ".mcp.json")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*(_[A-Za-z0-9-]+)*")
PLACEHOLDER = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")
ORDINARY = frozenset(
    {"HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "USER", "USERNAME"}
)
"""Variables that hold no secret: their values stand in innocent texts."""


class Trust(BaseModel):
    """What the project's owner says of a server's tools; a server's own word on it counts nothing.

    `local` names those (as patterns) whose calls carry nothing out of this machine, `idempotent`
    those whose calls may be made twice. `seconds` is the time that one call may take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    local: tuple[str, ...] = ()
    idempotent: tuple[str, ...] = ()
    seconds: float = Field(default=60, gt=0, le=3600)

    def is_local(self, tool: str) -> bool:
        return any(fnmatchcase(tool, pattern) for pattern in self.local)

    def is_idempotent(self, tool: str) -> bool:
        return any(fnmatchcase(tool, pattern) for pattern in self.idempotent)


class Entry(BaseModel):
    """One server: a command that is started, or a URL that is called."""

    model_config = ConfigDict(frozen=True)

    type: Literal["stdio", "http", "streamable-http", "streamableHttp"] | None = None
    command: str | None = Field(default=None, min_length=1)
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    cwd: str | None = None
    url: str | None = Field(default=None, pattern=r"^(https?://[^/]|\$\{)")
    headers: Mapping[str, str] = {}
    gesso: Trust = Trust()

    @property
    def start(self) -> dict[str, Any]:
        return self.model_dump(include={"command", "args", "env", "cwd", "url", "headers"})


@dataclass(frozen=True)
class Configuration:
    """The servers by name, each read when it is asked for: a broken one that no agent uses is
    another client's business."""

    file: Path
    servers: Mapping[str, Any]

    def entry(self, name: str) -> Entry:
        """
        Raises:
            ServerError: there is no such server, or its entry cannot be used.
        """
        if name not in self.servers:
            known = ", ".join(sorted(self.servers)) or "none"
            raise ServerError(f"no MCP server is called {name}; {self.file} has {known}")
        if not NAME.fullmatch(name):
            what = "a server's name here is of letters, digits, - and single _"
            raise self.error(name, "", f"{what}; rename it")
        try:
            entry = Entry.model_validate(self.servers[name])
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise self.error(name, field, first["msg"]) from None
        if (entry.command is None) == (entry.url is None):
            raise self.error(name, "", "needs either a `command` or a `url`")
        if entry.type is not None and (entry.type == "stdio") != (entry.command is not None):
            raise self.error(name, "type", f"{entry.type} does not go with what else is there")
        return entry

    def error(self, name: str, field: str, what: str) -> ServerError:
        return ServerError(": ".join(part for part in (str(self.file), name, field, what) if part))


def read_configuration(folder: Path) -> Configuration:
    """
    Raises:
        ServerError: the file cannot be read, or there are two.
    """
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if len(files) > 1:
        # An agent that could add the second would choose what programs are started.
        raise ServerError(f"{files[0]}: there is {files[1].name} too; keep one of them")
    if not files:
        return Configuration(folder / FILES[0], {})
    (file,) = files
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ServerError(f"{file}:{error.lineno}: {error.msg}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"{file}: {error}") from None
    servers = document.get("mcpServers", {}) if isinstance(document, dict) else None
    if not isinstance(servers, dict):
        raise ServerError(f"{file}: mcpServers: is no object of servers by their names")
    return Configuration(file, servers)


def filled(
    entry: Entry, *, environment: Mapping[str, str], secrets: Path | None
) -> tuple[Entry, Redactor]:
    """The entry with its `${…}` filled in, and what blanks them.

    Raises:
        SecretError: one is nowhere to be found.
    """
    found: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        name, otherwise = match.groups()
        try:
            found.update(look_up([name], environment=environment, file=secrets))
        except SecretError:
            if otherwise is None:
                raise
            return otherwise
        return found[name]

    def fill(part: Any) -> Any:
        if isinstance(part, str):
            return PLACEHOLDER.sub(value, part)
        if isinstance(part, dict):
            return {key: fill(item) for key, item in part.items()}
        return tuple(fill(item) for item in part) if isinstance(part, tuple) else part

    ready = entry.model_copy(update=fill(entry.start))
    hidden = {
        name: text
        for name, text in found.items()
        if name not in ORDINARY and len(text.strip()) >= SHORTEST
    }
    return ready, Redactor(hidden)
