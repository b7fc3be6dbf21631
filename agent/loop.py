"""One run, turn by turn: generate, keep what was written, carry out the calls, until an answer.

The loop is the body of a durable work: it must take the same path when it runs again, so every
decision rests on the results of steps and on the job, never on a clock or the store. Generations
and tool calls are steps; so is each write to the store, because it may have to wait for a lock.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..engine import (
    AnswerError,
    Engine,
    EngineError,
    Message,
    Request,
    ToolCall,
    ToolDeclaration,
    Usage,
)
from ..memory import LedgerEntry, RunState, Store, StoredMessage, StoreError, StoreLockedError
from ..tools import (
    Call,
    Context,
    Registry,
    Tool,
    ToolError,
    Workspace,
    decide,
    read_secrets,
)
from ..tools.permissions import call_text
from .agent import Agent
from .durable import Journal
from .prompt import with_blocks

log = logging.getLogger("gesso")


class Job(BaseModel):
    """What a run is given: its agent as it was then, the system text, the model, the message, the
    document.

    `outside`: the message came from neither the person nor an agent (a webhook's body).
    """

    model_config = ConfigDict(frozen=True)

    agent: Agent
    instructions: str
    model: str
    input: str
    document: str | None = None
    outside: bool = False


class Ended(Exception):  # noqa: N818 - an ending is no error
    """Ends a run from anywhere in the loop."""

    def __init__(self, state: RunState, reason: str | None = None) -> None:
        super().__init__(reason)
        self.state: RunState = state
        self.reason = reason


class Loop:
    """Carries out jobs; knows how to reach a model, the tools, and the store."""

    def __init__(
        self,
        *,
        engine: Callable[[str], Engine],
        store: Store,
        registry: Registry,
        workspace: Workspace,
        secrets: Path,
    ) -> None:
        self._engine = engine
        self._store = store
        self._registry = registry
        self._workspace = workspace
        self._secrets = secrets
        self._generating = threading.Lock()  # one canvas at a time

    def run(self, journal: Journal, run: str, job: Job) -> RunState:
        """Take the job to its end; what breaks on the way is the run's state and reason."""
        log.info("%s: started: %s", run, job.input)
        try:
            _Run(self, journal, run, job).turns()
            end = Ended("done")
        except Ended as ended:
            end = ended
        except Exception as error:
            log.exception("%s: failed", run)
            end = Ended("failed", f"{type(error).__name__}: {error}")

        def write() -> None:
            self._store.end_run(run, end.state, reason=end.reason, at=datetime.now(UTC))

        journal.step("store", write, retry=StoreLockedError)
        log.info("%s: %s%s", run, end.state, f": {end.reason}" if end.reason else "")
        return end.state

    def generate(
        self, job: Job, messages: Sequence[Message], seed: int, tokens_left: int
    ) -> dict[str, Any]:
        """The step of one generation. An error of the engine is a result too, with its usage where
        it took any."""
        blocks = self._store.memory.blocks.of(job.agent.name)
        try:
            engine = self._engine(job.model)
            request = Request(
                messages=with_blocks(messages, blocks, job.agent.tools),
                tools=[declaration(tool) for tool in self.tools(job.agent)],
                tool_choice=job.agent.tool_choice if job.agent.offered else "auto",
                thinking=job.agent.thinking,
                seed=seed,
                max_tokens=tokens_left,
            )
            with self._generating:
                try:
                    result = engine.generate(request)
                except AnswerError as error:
                    return {"error": str(error), **_metered(engine, error.usage)}
        except EngineError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("the engine failed")
            return {"error": f"{type(error).__name__}: {error}"}
        return {
            "text": result.text,
            "tool_calls": [
                {"name": call.name, "arguments": dict(call.arguments)} for call in result.tool_calls
            ],
            "finish_reason": result.finish_reason,
            **_metered(engine, result.usage),
        }

    def call(self, job: Job, call: ToolCall, context: Context, tainted: bool) -> dict[str, Any]:
        """The step of one tool call. What the permissions or the tool refuse is told to the model;
        what a person would have to approve is not carried out."""
        start = time.monotonic()
        try:
            tools = {tool.name: tool for tool in self.tools(job.agent)}
            if call.name not in tools:
                raise ToolError(f"no tool is called {call.name}")
            asked = Call(tools[call.name], call.arguments)
            decision = decide(asked, job.agent.rules, tainted)
            if decision.verdict == "ask":
                waits = f"{asked.text} waits for approval: {decision.reason}"
                return {"ok": False, "waits": waits, "seconds": _since(start)}
            if decision.verdict == "deny":
                raise ToolError(f"not permitted: {decision.reason}")
            secrets = read_secrets(
                job.agent.secrets, environment=os.environ, file=self._secrets
            )  # as they are now, and never part of what a step keeps
            context = replace(context, secrets=secrets)
            result = tools[call.name].call(call.arguments, context)
        except ToolError as error:
            return {"ok": False, "content": f"error: {error}", "seconds": _since(start)}
        except StoreError as error:
            return {"ok": False, "fatal": str(error), "seconds": _since(start)}
        content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        return {"ok": True, "content": content, "seconds": _since(start)}

    def tools(self, agent: Agent) -> list[Tool]:
        return self._registry.select(
            agent.offered,
            record=agent.record_schema,
            hosts=agent.hosts,
            sandbox=agent.sandbox,
            skills=agent.skills,
        )

    def context(self, run: str, job: Job, key: str, source: str | None) -> Context:
        return Context(self._workspace, self._store, run, job.agent.name, key, source)

    @property
    def store(self) -> Store:
        return self._store


class _Run:
    """The state of one run while it is carried out; rebuilt from the steps after a crash."""

    def __init__(self, loop: Loop, journal: Journal, run: str, job: Job) -> None:
        self.loop, self.journal, self.run, self.job = loop, journal, run, job
        self.messages: list[Message] = []
        self.tokens = 0
        self.seconds = 0.0
        self.succeeded: set[str] = set()
        self.source = job.document

    def turns(self) -> None:
        self._keep(
            [Message("system", self.job.instructions), Message("user", self.job.input)],
            lambda: self.loop.store.start_run(self.run, at=datetime.now(UTC)),
        )
        for turn in range(self.job.agent.budget.turns):
            self._look_at_the_budget()
            calls = self._generate(turn)
            if not calls:
                return
            for number, call in enumerate(calls):
                self._call(call, f"{self.run}/{turn}/{number}")
        raise Ended("stopped", f"the budget of {self.job.agent.budget.turns} turns is spent")

    def _look_at_the_budget(self) -> None:
        budget = self.job.agent.budget
        if self.tokens >= budget.tokens:
            raise Ended("stopped", f"the budget of {budget.tokens} tokens is spent")
        if self.seconds >= budget.seconds:
            raise Ended("stopped", f"the budget of {budget.seconds:g} seconds is spent")

    def _generate(self, turn: int) -> Sequence[ToolCall]:
        seed = seed_of(self.run, turn)
        written = self.journal.step(
            "generate",
            self.loop.generate,
            self.job,
            tuple(self.messages),
            seed,
            self.job.agent.budget.tokens - self.tokens,
        )
        if "usage" not in written:
            raise Ended("failed", written["error"])
        usage = written["usage"]
        self.tokens += usage["prompt_tokens"] + usage["output_tokens"]
        self.seconds += usage["prefill_seconds"] + usage["denoising_seconds"]
        entry = LedgerEntry(
            key=f"{self.run}/{turn}",
            run=self.run,
            agent=self.job.agent.name,
            model=written["model"],
            device=written["device"],
            at=datetime.fromtimestamp(written["at"], UTC),
            **usage,
        )
        if "error" in written:
            self._keep([], lambda: self.loop.store.add_entry(entry))
            raise Ended("failed", written["error"])
        calls = [ToolCall(call["name"], call["arguments"]) for call in written["tool_calls"]]
        self._keep(
            [Message("assistant", written["text"], calls)],
            lambda: self.loop.store.add_entry(entry),
        )
        if written["finish_reason"] == "length":
            self._look_at_the_budget()
            raise Ended("stopped", f"turn {turn + 1} was cut off: the context is full")
        return calls

    def _call(self, call: ToolCall, key: str) -> None:
        name = call_text(call.name, call.arguments)
        if name in self.succeeded:
            raise Ended("stopped", f"{name} was called again after it had succeeded")
        context = self.loop.context(self.run, self.job, key, self.source)
        tainted = self.job.outside or any(message.role == "tool" for message in self.messages)
        answer = self.journal.step(
            f"tool {call.name}", self.loop.call, self.job, call, context, tainted
        )
        self.seconds += answer["seconds"]
        if "fatal" in answer:
            raise Ended("failed", answer["fatal"])
        if "waits" in answer:
            raise Ended("stopped", answer["waits"])
        log.info("%s: %s: %s", self.run, name, "ok" if answer["ok"] else answer["content"])
        if answer["ok"]:
            self.succeeded.add(name)
            if call.name == "read_file" and self.job.document is None:
                self.source = call.arguments["path"]
        self._keep([Message("tool", answer["content"], name=call.name)])

    def _keep(self, added: Sequence[Message], also: Callable[[], None] | None = None) -> None:
        """Append to the conversation, here and in the store."""
        stored = [
            StoredMessage(
                len(self.messages) + n,
                message.role,
                message.content,
                [{"name": c.name, "arguments": dict(c.arguments)} for c in message.tool_calls],
                message.name,
            )
            for n, message in enumerate(added)
        ]
        self.messages.extend(added)

        def write() -> None:
            self.loop.store.add_messages(self.run, stored)
            if also is not None:
                also()

        self.journal.step("store", write, retry=StoreLockedError)


def declaration(tool: Tool) -> ToolDeclaration:
    return ToolDeclaration(tool.name, tool.description, tool.parameters)


def _metered(engine: Engine, usage: Usage) -> dict[str, Any]:
    """What the ledger is told of a generation."""
    return {
        "usage": asdict(usage),
        "model": engine.name,
        "device": engine.device,
        "at": time.time(),
    }


def seed_of(run: str, turn: int) -> int:
    """The seed of one turn: a generation that is repeated after a crash is the same."""
    return int.from_bytes(hashlib.sha256(f"{run}/{turn}".encode()).digest()[:4])


def _since(start: float) -> float:
    return time.monotonic() - start
