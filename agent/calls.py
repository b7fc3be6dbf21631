"""One tool call of a run: decided, begun, finished, each of it in the audit log.

A call is a durable step, and a step that was cut short runs again, in the same part of the run or
in a later one. What the log says of the first try keeps the second from doing harm: a call that has
finished or failed is not made again, and one that had begun is made again only if its tool says
that this is safe; else the person is asked. What the person approved is made as it was shown,
or as they changed it, unless the agent's permissions deny it by now.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..engine import ToolCall
from ..memory import Entry, EntryKind, Event, EventKind, Store, StoreError
from ..tools import Context, Registry, Rules, Shown, Tool, ToolError, Workspace, read_secrets
from ..tools.permissions import Call, decide
from ..tools.tool import PersonNeeded
from .agent import Agent
from .pictures import Pictures
from .telemetry import tool_span


@dataclass(frozen=True)
class Answer:
    """How a call ended. `waits` is what the person has to say a word to; there is no `content` yet
    then. `fatal` is why the run cannot go on. `images` are the digests of the pictures that are
    shown behind the content."""

    ok: bool
    content: str = ""
    images: Sequence[str] = ()
    waits: str | None = None
    fatal: str | None = None
    seconds: float = 0.0

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Asked:
    """A call as the model made it. `key` names it in the run; `part` is that of the run;
    `tainted`: the run has read what came from outside; `sees`: its model can be shown pictures."""

    call: ToolCall
    key: str
    part: int
    run: str
    agent: Agent
    source: str | None
    tainted: bool
    sees: bool = False


class Calls:
    """Carries out the calls of a project's runs."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        workspace: Workspace,
        secrets: Path,
        pictures: Pictures,
        listeners: Callable[[str], Collection[str]],
    ) -> None:
        self._store = store
        self._registry = registry
        self._workspace = workspace
        self._secrets = secrets
        self._pictures = pictures
        self._listeners = listeners

    def tools(self, agent: Agent) -> list[Tool]:
        return tools_of(self._registry, agent, agent.offered)

    def rules(self, agent: Agent) -> Rules:
        """What the agent's file says, and what the person has allowed since."""
        return agent.rules.allowing(grant.rule for grant in self._store.grants.all(agent.name))

    def make(self, asked: Asked) -> Answer:
        """What the permissions, the person or the tool refuse is told to the model."""
        start = time.monotonic()
        try:
            answer = self._make(asked)
        except ToolError as error:
            answer = Answer(False, f"error: {error}")
        except StoreError as error:
            answer = Answer(False, fatal=str(error))
        return replace(answer, seconds=time.monotonic() - start)

    def _make(self, asked: Asked) -> Answer:
        tools = {tool.name: tool for tool in self.tools(asked.agent)}
        if asked.call.name not in tools:
            raise ToolError(f"no tool is called {asked.call.name}")
        call = made = Call(tools[asked.call.name], asked.call.arguments)
        done = self._store.audit.find(asked.key, "finished")
        # the log has no pictures: a call that shows some is made once more
        if done is not None and not (asked.sees and call.tool.idempotent):
            return Answer(True, done.detail)
        begun = self._store.audit.find(asked.key, "begun")
        failed = self._store.audit.find(asked.key, "failed")
        if failed is not None and (begun is None or begun.id < failed.id):
            raise ToolError(failed.detail)
        entry = self._store.inbox.of_call(asked.key)
        if entry is not None and entry.verdict is None:
            return Answer(False, waits=_waits(entry))
        if entry is not None and entry.verdict == "denied":
            raise ToolError(_refusal(entry))
        if entry is not None and entry.kind == "question":
            return Answer(True, entry.note)
        if entry is not None:
            call = Call(call.tool, entry.arguments if entry.edited is None else entry.edited)
        decision = decide(call, self.rules(asked.agent), asked.tainted)
        if entry is None or decision.verdict == "deny":
            self._log(asked, call, decision.verdict, decision.reason)
        if decision.verdict == "deny":
            raise ToolError(f"not permitted: {decision.reason}")
        if entry is None and decision.verdict == "ask":
            return self._ask(asked, call, "approval", call.text, decision.reason)
        if begun is not None and not call.tool.idempotent and not _repeated(entry, begun):
            reason = "it was begun and cut short, so it may have happened; approve to make it again"
            return self._ask(asked, call, "interrupted", call.text, reason)
        told = ""
        if call.text != made.text:
            self._log(asked, call, "edited", f"by the person, in place of {made.text}")
            told = f"[the person changed the call to {call.text}]\n"
        self._log(asked, call, "begun")
        return self._carry_out(asked, call, told)

    def _carry_out(self, asked: Asked, call: Call, told: str) -> Answer:
        """`told` stands before the result."""
        start = time.monotonic()
        try:
            # As they are now, and never part of what a step keeps.
            secrets = read_secrets(asked.agent.secrets, environment=os.environ, file=self._secrets)
            context = Context(
                self._workspace,
                self._store,
                asked.run,
                asked.agent.name,
                asked.key,
                asked.source,
                secrets,
                frozenset(self._listeners(asked.agent.name)),
                asked.tainted,
                asked.sees,
            )
            with tool_span(call.tool.name, asked.key):
                result = call.tool.call(call.arguments, context)
        except PersonNeeded as needed:
            return self._ask(asked, call, "question", needed.question, "the agent asks")
        except ToolError as error:
            why = f"{told}{error}"
            self._log(asked, call, "failed", why, time.monotonic() - start)
            raise ToolError(why) from None
        images = list[str]()
        if isinstance(result, Shown):
            images = [self._pictures.keep(one) for one in result.pictures]
            result = result.text
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        content = told + text
        self._log(asked, call, "finished", content, time.monotonic() - start)
        return Answer(True, content, images)

    def _ask(self, asked: Asked, call: Call, kind: EntryKind, text: str, reason: str) -> Answer:
        entry = self._store.inbox.add(
            asked.key,
            asked.part,
            kind,
            text,
            run=asked.run,
            agent=asked.agent.name,
            reason=reason,
            arguments=call.arguments,
            at=datetime.now(UTC),
        )
        return Answer(False, waits=_waits(entry))

    def _log(
        self,
        asked: Asked,
        call: Call,
        kind: EventKind,
        detail: str = "",
        seconds: float | None = None,
    ) -> bool:
        return self._store.audit.add(
            asked.key,
            asked.part,
            kind,
            run=asked.run,
            agent=asked.agent.name,
            text=call.text,
            detail=detail,
            seconds=seconds,
            at=datetime.now(UTC),
        )


def tools_of(registry: Registry, agent: Agent, names: Sequence[str]) -> list[Tool]:
    """Tools of these names as an agent has them."""
    return registry.select(
        names,
        record=agent.record_schema,
        hosts=agent.hosts,
        sandbox=agent.sandbox,
        skills=agent.skills,
    )


def _repeated(entry: Entry | None, begun: Event) -> bool:
    """Whether the person wants a call made again that has begun, and not ended, so far."""
    return entry is not None and entry.kind == "interrupted" and entry.part >= begun.part


def _waits(entry: Entry) -> str:
    if entry.kind == "question":
        return f"asks: {entry.text}"
    verb = "waits for approval" if entry.kind == "approval" else "was cut short"
    return f"{entry.text} {verb}: {entry.reason}"


def _refusal(entry: Entry) -> str:
    said = f": {entry.note}" if entry.note else ""
    if entry.kind == "question":
        return f"the person does not answer{said}"
    if entry.kind == "interrupted":
        return f"it was cut short, may or may not have happened, and is not repeated{said}"
    return f"the person refused{said}"
