"""Skills and the project's guide: what a run is told, and what it may read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gesso.agent import AgentError, Runtime
from gesso.agent.prompt import GUIDE_LIMIT
from gesso.engine import Request, Result
from scripted import calls, engine, requests, says

SKILL = """\
---
name: invoices
description: How to read an invoice.
license: MIT
metadata: {author: somebody}
---
Look for the due date first; the form is in form.txt.
"""


@pytest.fixture
def skill(project: Path) -> Path:
    folder = project / "skills" / "invoices"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(SKILL)
    (folder / "form.txt").write_text("Due: DATE")
    return folder


def test_an_agent_is_told_of_its_skills_and_reads_them_when_it_needs_them(
    project: Path, skill: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\nskills: [invoices]")
    scripted = engine(
        calls(("read_skill", {"name": "invoices"})),
        calls(("read_skill", {"name": "invoices", "file": "form.txt"})),
        says("ok"),
    )
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", "hello")
        read = [m.content for m in runtime.store.messages(run.id) if m.role == "tool"]
    assert run.state == "done"
    assert read == [SKILL, "Due: DATE"]
    first = requests(scripted)[0]
    assert first.messages[0].content == (
        "Do it.\n\n[skills] Read one with read_skill before you do what it is for.\n"
        "- invoices: How to read an invoice."
    )
    (declared,) = first.tools
    assert declared.name == "read_skill"
    assert declared.parameters["properties"]["name"]["enum"] == ["invoices"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": "other"}, "error: read_skill: name: 'other' is not one of ['invoices']"),
        ({"name": "invoices", "file": "../other/SKILL.md"}, "outside the workspace"),
        ({"name": "invoices", "file": "/etc/passwd"}, "outside the workspace"),
        ({"name": "invoices", "file": "way-out.txt"}, "outside the workspace"),
        ({"name": "invoices", "file": ".hidden"}, "hidden files are outside"),
        ({"name": "invoices", "file": "none.txt"}, "none.txt: No such file or directory"),
    ],
)
def test_a_skill_is_read_from_its_own_folder_alone(
    project: Path,
    skill: Path,
    write_agent: Callable[..., Path],
    arguments: dict[str, str],
    complaint: str,
) -> None:
    (project / "skills" / "other").mkdir()
    (project / "skills" / "other" / "SKILL.md").write_text("not yours")
    (project / "secret.txt").write_text("not yours")
    (skill / "way-out.txt").symlink_to(project / "secret.txt")
    (skill / ".hidden").write_text("not yours")
    write_agent("name: clerk\nskills: [invoices]")
    scripted = engine(calls(("read_skill", arguments)), says("ok"))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", "hello")
        (told,) = [m.content for m in runtime.store.messages(run.id) if m.role == "tool"]
    assert complaint in told
    assert "not yours" not in told


def test_a_person_can_still_deny_a_skill(
    project: Path, skill: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\nskills: [invoices]\npermissions: {deny: [read_skill]}")
    scripted = engine(calls(("read_skill", {"name": "invoices"})), says("ok"))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", "hello")
        messages = runtime.store.messages(run.id)
    assert messages[3].content.startswith("error: not permitted: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "agents/clerk.md:3: skills.0: {skill}: no such file; write it"),
        ("hello", "{skill}:1: the file must begin with a line of ---, then YAML"),
        ("---\nname: invoices\n---\n", "{skill}:2: description: is missing"),
        ("---\ndescription: x\nname: bills\n---\n", "{skill}:3: name: must be invoices, as its"),
        ("---\ndescription: x\nname: In voices\n---\n", "{skill}:3: name: String should match"),
        ("---\nname: invoices\ndescription: ''\n---\n", "{skill}:3: description: String should"),
    ],
)
def test_a_broken_skill_names_its_line_and_field(
    project: Path, skill: Path, write_agent: Callable[..., Path], text: str | None, line: str
) -> None:
    write_agent("name: clerk\nskills: [invoices]")
    file = skill / "SKILL.md"
    file.unlink() if text is None else file.write_text(text)
    with (
        Runtime(project, engine=engine(says("ok")), listen=False) as runtime,
        pytest.raises(AgentError) as caught,
    ):
        runtime.load()
    assert line.format(skill=file) in str(caught.value)


def test_the_guide_of_the_project_is_in_the_prompt_as_it_was_when_the_run_began(
    project: Path, skill: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [list_files]\nskills: [invoices]")
    guide = project / "AGENTS.md"

    def change_it(request: Request) -> Result:
        guide.write_text("Be long.")
        (skill / "SKILL.md").write_text(SKILL.replace("How to", "How not to"))
        return calls(("list_files", {"folder": "."}))

    guide.write_text("Be brief.\n")
    scripted = engine(change_it, says("ok"))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "hello")
        runtime.run("clerk", "hello again")
    texts = [request.messages[0].content for request in requests(scripted)]
    assert texts[0] == texts[1]
    assert texts[0].startswith("Do it.\n\n[AGENTS.md]\nBe brief.\n\n[skills]")
    assert "Be long." in texts[2]
    assert "How not to" in texts[2]


def test_a_long_guide_is_cut_and_says_so(project: Path) -> None:
    (project / "AGENTS.md").write_text("ä" * (GUIDE_LIMIT + 7))
    scripted = engine(says("ok"))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "hello")
    shown = requests(scripted)[0].messages[0].content
    assert shown.count("ä") == GUIDE_LIMIT
    assert shown.endswith("\n[cut: 16,000 of 16,007 characters are shown]")


def test_a_guide_that_an_agent_could_write_through_a_link_is_refused(project: Path) -> None:
    (project / "AGENTS.md").symlink_to(project / "inbox" / "new.md")
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with pytest.raises(AgentError, match=r"AGENTS\.md: is no regular file"):
            runtime.run("clerk", "hello")
        assert not runtime.store.runs()
