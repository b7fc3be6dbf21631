"""The tools by name, and an agent's selection of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .commands import python, shell
from .errors import ToolDefinitionError, UnknownToolError
from .fetch import Fetcher, Host, fetch
from .files import edit_file, list_files, read_file, read_lines, search_files, write_file
from .mcp import Servers
from .memory import MEMORY_TOOLS
from .people import PEOPLE_TOOLS
from .records import save_record
from .sandbox import Sandbox
from .skills import read_skill
from .sql import query
from .tool import Tool

BUILT_IN = (
    *(read_file, read_lines, write_file, edit_file, list_files, search_files, query),
    *MEMORY_TOOLS,
    *PEOPLE_TOOLS,
)
MADE = ("save_record", "fetch", "shell", "python", "read_skill")


class Registry:
    """The built-in tools and those given. Those that depend on what an agent's file says are made
    for each agent: `save_record` from its schema, `fetch` for its hosts, `shell` and `python` for
    its sandbox, `read_skill` for its skills. A name with a slash is of an MCP server's
    tool, or of all of them."""

    def __init__(self, tools: Iterable[Tool] = (), servers: Servers | None = None) -> None:
        self._servers = servers
        self._tools = {built_in.name: built_in for built_in in BUILT_IN}
        for added in tools:
            if added.name in self.names:
                raise ToolDefinitionError(f"two tools are called {added.name}; rename one")
            server = servers.owner(added.name) if servers is not None else None
            if server is not None:
                what = f"that is how those of the MCP server {server} are called; rename one"
                raise ToolDefinitionError(f"a tool is called {added.name}: {what}")
            self._tools[added.name] = added

    @property
    def names(self) -> list[str]:
        return sorted([*self._tools, *MADE])

    def select(
        self,
        names: Sequence[str],
        *,
        record: Mapping[str, Any] | None = None,
        hosts: Sequence[Host] = (),
        sandbox: Sandbox = "bubblewrap",
        skills: Sequence[str] = (),
    ) -> list[Tool]:
        """The named tools, in that order; `record` is the schema of what `save_record` keeps,
        `hosts` are those that `fetch` may reach, `sandbox` is where `shell` and `python` run,
        `skills` are those that `read_skill` reads."""
        chosen: list[Tool] = []
        for name in names:
            if name == "save_record":
                if record is None:
                    raise ToolDefinitionError("save_record needs a record schema")
                chosen.append(save_record(record))
            elif name == "fetch":
                chosen.append(fetch(Fetcher(hosts)))
            elif name == "shell":
                chosen.append(shell(sandbox))
            elif name == "python":
                chosen.append(python(sandbox))
            elif name == "read_skill":
                if not skills:
                    raise ToolDefinitionError("read_skill needs skills")
                chosen.append(read_skill(skills))
            elif "/" in name and self._servers is not None:
                had = {tool.name for tool in chosen}
                chosen += [tool for tool in self._servers.tools(name) if tool.name not in had]
            elif name in self._tools:
                chosen.append(self._tools[name])
            else:
                raise UnknownToolError(f"unknown tool {name}; known are {', '.join(self.names)}")
        return chosen
