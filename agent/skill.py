"""A skill: a folder of the project, `skills/NAME/`, whose SKILL.md says how to do something.

---
name: invoices
description: How to read an invoice, and what to do about one that is overdue.
---
Look for the due date first …

This is the open convention, so the folder of another tool can be put here as it is: fields of it
that are not read here are left alone, and none of them gives an agent a permission. An agent is
told the name and the description, and reads the rest by `read_skill` when it needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..tools import SKILL_FILE, SKILLS
from . import frontmatter

SkillName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]


class Skill(BaseModel):
    """What an agent is told of a skill before it reads it."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: SkillName
    description: str = Field(min_length=1, max_length=1024)


def skill_file(project: Path, name: str) -> Path:
    return project / SKILLS / name / SKILL_FILE


def load_skill(project: Path, name: str) -> Skill:
    """The skill of that name, or `AgentFileError`."""
    front = frontmatter.read(skill_file(project, name))
    try:
        skill = Skill.model_validate(front.fields)
    except ValidationError as error:
        first = error.errors()[0]
        what = "is missing" if first["type"] == "missing" else first["msg"]
        raise front.error(first["loc"], what) from None
    if skill.name != name:
        raise front.error(("name",), f"must be {name}, as its folder is called")
    return skill
