"""An agent: one Markdown file. Its front matter says what it may do, its body what it should do.

---
name: receipts
description: Keeps a record of every receipt.
triggers:
  - folder: inbox
    pattern: "*.txt"
skills: [receipts]
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
from typing import Annotated, Any

from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..engine import Priority
from ..tools import Host, Rules, Sandbox, SecretName
from ..tools.people import PERSON
from .budget import Budget
from .frontmatter import FrontMatter, read
from .skill import SkillName
from .trigger import AGENT_NAME, FolderTrigger, MessageTrigger, Trigger, known_fields


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Extract(_Part):
    """Every file that a trigger names becomes a row of the table `output`, without turns or calls.
    `fields` is a short form (`vendor, total: number`), or a JSON Schema's file in the project."""

    fields: str = Field(min_length=1)
    output: str = Field(min_length=1)


class Retry(_Part):
    """A run that something broke (not one that a budget ended) is tried again `times` times, from
    where it stands, `wait` seconds later, and twice as long each further time."""

    times: int = Field(default=0, ge=0, le=20)
    wait: float = Field(default=10, gt=0)


class Agent(_Part):
    """`record` is the schema of each property of what `save_record` keeps; all are required.

    `recall` facts that the run's message recalls stand in its prompt.

    At most `concurrency` of the agent's runs are under way at once; of those that are queued, and
    of the turns that wait for the model, the agents' of a higher `priority` go first.

    `tools` names built-in tools, and those of the MCP servers in the project's `mcp.json` as
    `SERVER/TOOL` or, all of them, `SERVER/*`; so do the rules of `permissions`. Without
    `permissions` each call of the named tools is allowed. `hosts` are those that `fetch`
    may reach, `sandbox` is where `shell` and `python` run, `secrets` are
    the names of those that tools may use. An agent with `skills` has the tool `read_skill` too, and
    may call it unless the permissions say otherwise. An agent with `extract` only makes rows.
    """

    name: str = Field(pattern=AGENT_NAME)
    description: str = ""
    triggers: Sequence[Trigger] = ()
    skills: Annotated[tuple[SkillName, ...], Field(strict=False)] = ()
    tools: Sequence[str] = ()
    permissions: Rules | None = None
    hosts: Annotated[tuple[Host, ...], Field(strict=False)] = ()
    sandbox: Sandbox = "bubblewrap"
    secrets: Annotated[tuple[SecretName, ...], Field(strict=False)] = ()
    record: Mapping[str, Any] | None = Field(default=None, min_length=1)
    extract: Extract | None = None
    recall: int = Field(default=0, ge=0, le=50)
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
    def offered(self) -> Sequence[str]:
        """The names of the tools that the agent has."""
        if not self.skills or "read_skill" in self.tools:
            return self.tools
        return (*self.tools, "read_skill")

    @property
    def rules(self) -> Rules:
        if self.permissions is None:
            return Rules(allow=tuple(self.offered))
        if not self.skills:
            return self.permissions
        allow = (*self.permissions.allow, "read_skill")
        return self.permissions.model_copy(update={"allow": allow})

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
        """What holds between fields, and for the name."""
        if self.name == PERSON:
            raise front.error(("name",), f"{PERSON} is who the agents work for; take another")
        if "save_record" in self.tools and self.record is None:
            raise front.error(("tools",), "save_record needs a `record:` with its properties")
        if self.record is not None and "save_record" not in self.tools:
            raise front.error(("record",), "is of no use without save_record among the tools")
        if len(set(self.tools)) < len(self.tools):
            raise front.error(("tools",), "a tool is named twice")
        if len(set(self.skills)) < len(self.skills):
            raise front.error(("skills",), "a skill is named twice")
        self._check_triggers(front)
        if self.extract is not None:
            self._check_extract(front)
        single = [name for name in self.offered if not name.endswith("/*")]
        choices = ["auto", "required", "none", *single]
        if self.tool_choice not in choices:
            raise front.error(("tool_choice",), f"must be one of {', '.join(choices)}")
        for name, schema in (self.record or {}).items():
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                raise front.error(("record", name, *error.absolute_path), error.message) from None

    def _check_extract(self, front: FrontMatter) -> None:
        if self.offered:
            field = "tools" if self.tools else "skills"
            raise front.error((field,), "are of no use beside extract, which makes no calls")
        if self.concurrency > 1:
            raise front.error(("concurrency",), "is 1 with extract: its rows are of one table")
        for number, trigger in enumerate(self.triggers):
            if not isinstance(trigger, FolderTrigger):
                what = "names no file, and extract makes a row of a file; take a folder"
                raise front.error(("triggers", number), what)

    def _check_triggers(self, front: FrontMatter) -> None:
        """No two are taken for one, and no run of the agent starts its next."""
        seen = set[str]()
        for number, trigger in enumerate(self.triggers):
            if isinstance(trigger, MessageTrigger) and trigger.sender == self.name:
                raise front.error(("triggers", number, "from"), "is the agent itself")
            if str(trigger) in seen:
                raise front.error(("triggers", number), f"{trigger} stands above already")
            seen.add(str(trigger))


def _complaint(front: FrontMatter, error: ValidationError) -> Exception:
    first = error.errors()[0]
    location, what = list(first["loc"]), first["msg"]
    # pydantic's tag, which the file does not have
    kind = str(location.pop(2)) if location[0] == "triggers" and len(location) > 2 else ""
    if first["type"] == "extra_forbidden":
        models = {"budget": Budget, "permissions": Rules, "retry": Retry, "extract": Extract}
        model = models.get(str(location[0]), Agent)
        fields = known_fields(kind) if kind else model.model_fields
        known = [name for name in fields if name != "instructions"]
        what = f"unknown field; known are {', '.join(known)}"
    elif first["type"] == "missing":
        what = "is missing"
    return front.error(tuple(location), what)
