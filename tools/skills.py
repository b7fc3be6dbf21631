"""The tool that reads an agent's skills, made for each agent from their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from .files import beginning
from .tool import Context, Kind, Tool, check_arguments
from .workspace import Workspace

SKILLS = "skills"
"""The folder that holds a folder for each skill."""

SKILL_FILE = "SKILL.md"
"""The file of a skill's folder that says what to do."""


def read_skill(names: Sequence[str]) -> Tool:
    """The tool that reads a file of one of these skills' folders, and nothing outside them."""
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(names), "description": "Name of the skill"},
            "file": {
                "type": "string",
                "default": SKILL_FILE,
                "description": "A file of its folder that it speaks of",
            },
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    validator = Draft202012Validator(schema)

    def run(arguments: Mapping[str, Any], context: Context) -> str:
        check_arguments("read_skill", arguments, validator)
        folder = context.workspace.resolve(f"{SKILLS}/{arguments['name']}")
        return beginning(Workspace(folder), arguments.get("file", SKILL_FILE), context)

    summary = "Read a skill: how to do what it is for."
    return Tool("read_skill", summary, schema, run, idempotent=True, kinds={"file": Kind.PATH})
