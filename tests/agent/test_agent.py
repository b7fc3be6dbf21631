"""Agent files: what they may say, and the one line that a broken one gets."""

from pathlib import Path

import pytest
from gesso.agent import Agent, AgentError, Runtime
from gesso.agent.trigger import (
    CronTrigger,
    FolderTrigger,
    IntervalTrigger,
    MessageTrigger,
    WebhookTrigger,
)
from gesso.tools import Rules
from scripted import engine, says

WHOLE = """\
---
name: receipts
description: Keeps a record of every receipt.
triggers:
  - folder: inbox
    pattern: "*.txt"
    changed: false
    recursive: true
  - cron: 0 9 * * 1-5
    zone: Europe/Berlin
    message: Report.
    missed: skip
  - every: 15m
    message: Look.
  - webhook: issues
    secret: HOOK_SECRET
    message: "An issue:"
  - from: clerk
skills: [invoices]
tools: [read_file, save_record]
permissions:
  allow: ["read_file(inbox/*)"]
  ask: [save_record]
record:
  company: {type: string, description: Company}
  total: {type: number}
budget: {turns: 6, tokens: 900, seconds: 2.5}
model: sketch
tool_choice: required
---

Read the file.
---
Then save its record.
"""


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "receipts.md"
    path.write_text(WHOLE)
    agent = Agent.load(path)
    assert agent.name == "receipts"
    assert agent.instructions == "Read the file.\n---\nThen save its record."
    assert agent.triggers == [
        FolderTrigger(folder="inbox", pattern="*.txt", changed=False, recursive=True),
        CronTrigger(cron="0 9 * * 1-5", zone="Europe/Berlin", message="Report.", missed="skip"),
        IntervalTrigger(every="15m", message="Look."),
        WebhookTrigger(webhook="issues", secret="HOOK_SECRET", message="An issue:"),
        MessageTrigger.model_validate({"from": "clerk"}),
    ]
    assert agent.skills == ("invoices",)
    assert agent.offered == ("read_file", "save_record", "read_skill")
    assert (agent.budget.turns, agent.budget.tokens, agent.budget.seconds) == (6, 900, 2.5)
    assert agent.rules == Rules(allow=("read_file(inbox/*)", "read_skill"), ask=("save_record",))
    assert agent.record_schema == {
        "type": "object",
        "properties": {
            "company": {"type": "string", "description": "Company"},
            "total": {"type": "number"},
        },
        "required": ["company", "total"],
        "additionalProperties": False,
    }
    assert Agent.model_validate(agent.model_dump(mode="json")) == agent


def trigger(fields: str) -> str:
    return f"---\nname: a\ntriggers:\n  - {fields}\n---\nGo."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ":1: the file must begin with a line of ---, then YAML"),
        ("---\nname: a\n", ":1: the front matter is not closed by a line of ---"),
        ("---\nname: a\n---\n", ":2: the instructions are missing: write them below"),
        ("---\n- a\n---\nGo.", ":2: the front matter is no list of `field: value`"),
        ("---\nname: a\ntools: [b\n---\nGo.", ":3: expected ',' or ']', but got"),
        ("---\ndescription: a\n---\nGo.", ":2: name: is missing"),
        ("---\nname: A b\n---\nGo.", ":2: name: String should match pattern"),
        ("---\nname: a\ncolour: red\n---\nGo.", ":3: colour: unknown field; known are name,"),
        ("---\nname: a\nname: b\n---\nGo.", ":3: name: stands here twice"),
        (
            "---\nname: a\nbudget:\n  tokens: 9\n  turns: 0\n---\nGo.",
            ":5: budget.turns: Input should be greater than or equal to 1",
        ),
        (
            "---\nname: a\nbudget:\n  money: 1\n---\nGo.",
            ":4: budget.money: unknown field; known are turns, tokens, seconds",
        ),
        (
            "---\nname: a\ntriggers:\n  - folder: in\n  - patern: x\n---\nGo.",
            ":5: triggers.1: is no trigger: one has a field of folder, cron, every, webhook, from",
        ),
        (
            trigger("folder: in\n    patern: x"),
            ":5: triggers.0.patern: unknown field; known are folder, pattern, changed, recursive",
        ),
        (
            trigger("cron: 0 9 * * *\n    zone: Europe/Berlin"),
            ":4: triggers.0.message: is missing",
        ),
        (
            trigger("cron: 0 9 * *\n    message: x"),
            ":4: triggers.0.cron: Value error, '0 9 * *' has 4 fields, not five",
        ),
        (
            trigger("cron: 0 9 * * *\n    message: x\n    zone: Berlin"),
            ":6: triggers.0.zone: Value error, 'Berlin' is no time zone",
        ),
        (
            trigger("message: x\n    every: soon"),
            ":5: triggers.0.every: Value error, 'soon' is no span of time",
        ),
        (
            trigger("every: 5m\n    message: x\n    missed: twice"),
            ":6: triggers.0.missed: Input should be 'once', 'skip' or 'all'",
        ),
        (
            trigger("every: 5m\n    message: x\n    cron: 0 9 * * *"),
            ":6: triggers.0.cron: unknown field; known are every, message, missed",
        ),
        (trigger("webhook: issues"), ":4: triggers.0.secret: is missing"),
        (trigger("webhook: a/b\n    secret: S"), ":4: triggers.0.webhook: String should match"),
        (trigger("from: Clerk"), ":4: triggers.0.from: String should match pattern"),
        (trigger("from: clerk\n    to: x"), ":5: triggers.0.to: unknown field; known are from"),
        (trigger("from: a"), ":4: triggers.0.from: is the agent itself"),
        (
            trigger("every: 5m\n    message: x\n  - every: 5m\n    message: y"),
            ":6: triggers.1: every 5m stands above already",
        ),
        ("---\nname: a\nskills: [A]\n---\nGo.", ":3: skills.0: String should match pattern"),
        ("---\nname: a\nskills: [b, b]\n---\nGo.", ":3: skills: a skill is named twice"),
        (
            "---\nname: a\ntools: [save_record]\n---\nGo.",
            ":3: tools: save_record needs a `record:` with its properties",
        ),
        (
            "---\nname: a\nrecord: {b: {}}\n---\nGo.",
            ":3: record: is of no use without save_record",
        ),
        (
            "---\nname: a\ntools: [save_record]\nrecord:\n  b: {type: txt}\n---\nGo.",
            ":5: record.b.type: 'txt' is not valid under any of the given schemas",
        ),
        (
            "---\nname: a\ntools: [read_file]\ntool_choice: always\n---\nGo.",
            ":4: tool_choice: must be one of auto, required, none, read_file",
        ),
        (
            "---\nname: a\npermissions:\n  allow: [a]\n  deny: [b, (c]\n---\nGo.",
            ":5: permissions.deny.1: Value error, '(c' is no rule: write tool",
        ),
        (
            "---\nname: a\npermissions: {refuse: [a]}\n---\nGo.",
            ":3: permissions.refuse: unknown field; known are allow, ask, deny, tainted",
        ),
        ("---\nname: a\nhosts: [a.org, '*']\n---\nGo.", ":3: hosts.1: String should match pattern"),
        ("---\nname: a\nsandbox: off\n---\nGo.", ":3: sandbox: Input should be 'bubblewrap' or 'n"),
        ("---\nname: a\nsecrets: [A B]\n---\nGo.", ":3: secrets.0: String should match pattern"),
        ("---\nname: a\ninstructions: b\n---\nGo.", ":3: instructions: belong below"),
    ],
)
def test_a_broken_file_names_its_line_and_field(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "broken.md"
    path.write_text(text)
    with pytest.raises(AgentError) as caught:
        Agent.load(path)
    assert str(caught.value).startswith(f"{path}{line}")
    assert "\n" not in str(caught.value)


def test_without_permissions_the_named_tools_are_allowed() -> None:
    agent = Agent(name="a", tools=["read_file"], instructions="Go.")
    assert agent.rules == Rules(allow=("read_file",))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"none\.md: No such file or directory"):
        Agent.load(tmp_path / "none.md")


@pytest.mark.parametrize(
    ("front", "line"),
    [
        (
            "name: a\ntools: [read_file, fly]",
            ":3: tools.1: unknown tool fly; known are append_to_block, ask_person, ",
        ),
        (
            "name: a\ntools: [save_record]\nrecord:\n  b: {$ref: other.json}",
            ":5: record.b: ",
        ),
        ("name: a\ntriggers: [{folder: out}]", ":3: triggers.0.folder: "),
        (
            "name: a\ntriggers: [{folder: ../x}]",
            ":3: triggers.0.folder: ../x: outside the workspace",
        ),
    ],
)
def test_a_runtime_refuses_what_could_not_run(project: Path, front: str, line: str) -> None:
    path = project / "agents" / "clerk.md"
    path.write_text(f"---\n{front}\n---\nGo.")
    with (
        Runtime(project, engine=engine(says("ok")), listen=False) as runtime,
        pytest.raises(AgentError) as caught,
    ):
        runtime.load()
    assert str(caught.value).startswith(f"{path}{line}")


def test_two_agents_of_one_name_are_refused(project: Path) -> None:
    (project / "agents" / "twin.md").write_text("---\nname: clerk\n---\nGo.")
    with (
        Runtime(project, engine=engine(says("ok")), listen=False) as runtime,
        pytest.raises(AgentError, match=r"twin\.md:2: name: another agent is called clerk"),
    ):
        runtime.load()
