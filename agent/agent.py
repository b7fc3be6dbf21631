"""An agent: one Markdown file. Its front matter says what it may do, its body what it should do.

---
name: receipts
description: Keeps a record of every receipt.
triggers:
  - folder: inbox
    pattern: "*.txt"
tools: [read_file, save_record]
permissions: {allow: ["read_file(inbox/*)", save_record]}
record:
  company: {type: string, description: Company}
  total: {type: number, description: Total}
budget: {turns: 8, tokens: 20000, seconds: 300, day: {dollars: 0.5}}
retry: {times: 3, wait: 10}
concurrency: 2
priority: high
model: sketch
tool_choice: auto
thinking: false
---
Read the file, then save its record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..tools import Host, Rules, Sandbox, SecretName
from .budget import Budget
from .frontmatter import FrontMatter, read

Priority = Literal["high", "normal", "low"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FolderTrigger(_Part):
    """A file in `folder` (inside the project) whose name matches `pattern` starts a run."""

    folder: str = Field(min_length=1)
    pattern: str = "*"


class Retry(_Part):
    """A run that something broke (not one that a budget ended) is tried again `times` times, from
    where it stands, `wait` seconds later, and twice as long each further time."""

    times: int = Field(default=0, ge=0, le=20)
    wait: float = Field(default=10, gt=0)


class Agent(_Part):
    """`record` is the schema of each property of what `save_record` keeps; all are required.

    At most `concurrency` of the agent's runs are under way at once; of those that are queued, the
    agents' of a higher `priority` go first.

    Without `permissions` each call of the named tools is allowed. `hosts` are those that `fetch`
    may reach, `sandbox` is where `shell` and `python` run, `secrets` are
    the names of those that tools may use.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = ""
    triggers: Sequence[FolderTrigger] = ()
    tools: Sequence[str] = ()
    permissions: Rules | None = None
    hosts: Annotated[tuple[Host, ...], Field(strict=False)] = ()
    sandbox: Sandbox = "bubblewrap"
    secrets: Annotated[tuple[SecretName, ...], Field(strict=False)] = ()
    record: Mapping[str, Any] | None = Field(default=None, min_length=1)
    budget: Budget = Budget()
    retry: Retry = Retry()
    concurrency: int = Field(default=1, ge=1, le=64)
    priority: Priority = "normal"
    model: str = "sketch"
    tool_choice: str = "auto"
    thinking: bool = False
    instructions: str = Field(min_length=1)

    @property
    def record_schema(self) -> dict[str, Any] | None:
        if self.record is None:
            return None
        return {
            "type": "object",
            "properties": dict(self.record),
            "required": list(self.record),
            "additionalProperties": False,
        }

    @property
    def rules(self) -> Rules:
        return Rules(allow=tuple(self.tools)) if self.permissions is None else self.permissions

    @classmethod
    def load(cls, path: str | Path) -> Agent:
        """Read an agent's file, or raise `AgentFileError`."""
        return cls.from_front_matter(read(Path(path)))

    @classmethod
    def from_front_matter(cls, front: FrontMatter) -> Agent:
        if not front.body:
            raise front.error((), "the instructions are missing: write them below the second ---")
        if "instructions" in front.fields:
            raise front.error(("instructions",), "belong below the second ---")
        try:
            agent = cls.model_validate(front.fields | {"instructions": front.body})
        except ValidationError as error:
            raise _complaint(front, error) from None
        agent._check(front)
        return agent

    def _check(self, front: FrontMatter) -> None:
        """What holds between fields."""
        if "save_record" in self.tools and self.record is None:
            raise front.error(("tools",), "save_record needs a `record:` with its properties")
        if self.record is not None and "save_record" not in self.tools:
            raise front.error(("record",), "is of no use without save_record among the tools")
        if len(set(self.tools)) < len(self.tools):
            raise front.error(("tools",), "a tool is named twice")
        choices = ["auto", "required", "none", *self.tools]
        if self.tool_choice not in choices:
            raise front.error(("tool_choice",), f"must be one of {', '.join(choices)}")
        for name, schema in (self.record or {}).items():
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                raise front.error(("record", name, *error.absolute_path), error.message) from None


def _complaint(front: FrontMatter, error: ValidationError) -> Exception:
    first = error.errors()[0]
    location, what = first["loc"], first["msg"]
    if first["type"] == "extra_forbidden":
        parts = {"triggers": FolderTrigger, "budget": Budget, "permissions": Rules, "retry": Retry}
        model = parts.get(str(location[0]), Agent)
        known = [name for name in model.model_fields if name != "instructions"]
        what = f"unknown field; known are {', '.join(known)}"
    elif first["type"] == "missing":
        what = "is missing"
    return front.error(location, what)
