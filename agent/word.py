"""The person's word about a call in the inbox: what they are shown, and what they say to it.

A call may be changed before it is made, and calls like it allowed from then on. Both are checked
here, before anything is written down: whoever approves learns at once what cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from ..memory import Entry, InboxError, Store, Verdict
from ..tools import Call, Redactor, RuleError, Rules, Tool, Workspace, changes_of, decide
from ..tools.permissions import parse_rule, rule_of
from ..tools.tool import check_arguments
from .agent import Agent
from .log import redactor_of

CALLS = ("approval", "interrupted")
"""Kinds of entries that are about a call which is to be made."""


@dataclass(frozen=True)
class Shown:
    """An entry as the person decides about it: what the call would change in a file, as a diff, and
    the rule that allows it, and nothing else, from now on; `None` where there is none."""

    entry: Entry
    changes: str | None
    rule: str | None


class Word:
    """Takes the person's word for a project's inbox. `tools` are those of an agent."""

    def __init__(
        self,
        store: Store,
        workspace: Workspace,
        secrets: Path,
        agents: Callable[[], Mapping[str, Agent]],
        tools: Callable[[Agent], Sequence[Tool]],
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._secrets = secrets
        self._agents = agents
        self._tools = tools

    def show(self, number: int) -> Shown:
        """Raises `InboxError` where there is no such entry."""
        entry = self._store.inbox.entry(number)
        if entry.kind not in CALLS:
            return Shown(entry, None, None)
        changes = changes_of(_tool(entry), entry.arguments, self._workspace, self._redactor())
        agent = self._agents().get(entry.agent)
        known = () if agent is None else self._tools(agent)
        tool = next((one for one in known if one.name == _tool(entry)), None)
        return Shown(entry, changes, None if tool is None else rule_of(Call(tool, entry.arguments)))

    def give(
        self,
        number: int,
        verdict: Verdict,
        *,
        at: datetime,
        note: str = "",
        edited: Mapping[str, Any] | None = None,
        always: str | None = None,
    ) -> Entry:
        """Write down what the person said to an entry. `edited` are the arguments that the call is
        made with; `always` is a rule that the agent is allowed from now on.

        Raises:
            InboxError: there is no such entry, or nothing of it is to be decided any more.
            ToolError: the arguments do not fit the tool, the agent's permissions deny the call, or
                the rule would not allow it.
        """
        entry = self._store.inbox.entry(number)
        if edited is not None or always is not None:
            agent, tool = self._subject(entry, verdict)
            arguments = entry.arguments if edited is None else edited
            call = Call(tool, arguments)
            if edited is not None:
                check_arguments(tool.name, edited, Draft202012Validator(tool.parameters))
                self._check(call, agent.rules)
            if always is not None:
                self._check_rule(call, agent, always)
        done = self._store.inbox.decide(number, verdict, note=note, at=at, edited=edited)
        if always is not None:
            self._store.grants.add(entry.agent, always, at=at)
        return done

    def _subject(self, entry: Entry, verdict: Verdict) -> tuple[Agent, Tool]:
        if verdict != "approved" or entry.kind not in CALLS:
            what = "only a call that is approved can be changed, or be allowed from now on"
            raise InboxError(f"entry {entry.id}: {what}")
        agent = self._agents().get(entry.agent)
        if agent is None:
            raise InboxError(f"entry {entry.id}: there is no agent {entry.agent} any more")
        for tool in self._tools(agent):
            if tool.name == _tool(entry):
                return agent, tool
        raise InboxError(f"entry {entry.id}: {agent.name} has no tool {_tool(entry)} here")

    def _check(self, call: Call, rules: Rules) -> None:
        decision = decide(call, rules, tainted=False)
        if decision.verdict == "deny":
            raise RuleError(f"{call.text}: {decision.reason}")

    def _check_rule(self, call: Call, agent: Agent, text: str) -> None:
        parse_rule(text)
        rule = Rules(allow=(text,))
        rule.check(self._tools(agent))
        if not rule.fitting(call):
            raise RuleError(f"{text}: does not name this call, {call.text}")
        decision = decide(call, agent.rules.allowing([text]), tainted=False)
        if decision.verdict != "allow":
            what = "a rule of its file that is as specific stands against it; change it there"
            raise RuleError(f"{text}: {decision.reason}: {what}")

    def _redactor(self) -> Redactor:
        names = {name for agent in self._agents().values() for name in agent.secrets}
        return redactor_of(names, self._secrets)


def _tool(entry: Entry) -> str:
    """The name of the tool that an entry's call is of."""
    return entry.text.partition("(")[0]
