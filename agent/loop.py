"""One run, turn by turn: generate, keep what was written, carry out the calls, until an answer.

A run is carried out in *parts*. A part ends when the run does, or when it has to wait: for the
person, for a pause to end, for the time to try again. The next part begins from what the store
holds, so nothing is kept alive meanwhile, however long it takes.

The loop is the body of a durable work: it must take the same path when it runs again, so every
decision rests on the results of steps and on the job, never on a clock or the store. Generations
and tool calls are steps; so is each look into the store and each write to it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..engine import (
    AnswerError,
    AnyEngine,
    CapacityError,
    EngineError,
    Message,
    RemoteEngine,
    Request,
    Result,
    ServerError,
    ToolCall,
    ToolDeclaration,
    Usage,
)
from ..memory import (
    Block,
    LedgerEntry,
    RunState,
    Store,
    StoredMessage,
    StoreLockedError,
    StoreUnreachableError,
    spends_of,
)
from ..tools import Tool, ToolError, called
from ..tools.permissions import call_text
from .agent import Agent, Extract
from .budget import Limits, nearly, spent, today
from .calls import Answer, Asked, Calls
from .canvases import Canvases
from .compaction import conversation, needed, summary_request
from .durable import Journal
from .errors import AgentError
from .events import Events, Kind
from .jobs.extract import BATCH
from .jobs.table import Table, Tables
from .log import current_run
from .prompt import with_blocks
from .telemetry import generation_span, record_result

log = logging.getLogger("gesso")

FAILURES = 5
"""Calls that fail in a row before the run is ended: it gets nowhere."""

PASSING = (StoreLockedError, StoreUnreachableError)
"""What may go better in a moment."""

NEARLY = 0.8
"""The share of a day's budget at which a warning is logged, once a day."""

LOGGED = 300
"""Characters of a message or a call that the log shows; the store has the whole."""


class Job(BaseModel):
    """What a run is given: its agent as it was then, the system text, the model, the message, the
    document.

    `outside`: the message is not the person's own words (a file's name, a webhook's body, another
    agent's).
    `failures` counts the times that it was tried again.
    """

    model_config = ConfigDict(frozen=True)

    agent: Agent
    instructions: str
    model: str
    input: str
    document: str | None = None
    outside: bool = False
    failures: int = 0


class Ended(Exception):  # noqa: N818 - an ending is no error
    """Ends a part of a run from anywhere in the loop. `passing`: it may go better another time."""

    def __init__(
        self, state: RunState, reason: str | None = None, *, passing: bool = False
    ) -> None:
        super().__init__(reason)
        self.state: RunState = state
        self.reason = reason
        self.passing = passing


class Loop:
    """Carries out jobs; knows how to reach a model, the tools, and the store."""

    def __init__(
        self,
        *,
        engine: Callable[[str], AnyEngine],
        store: Store,
        calls: Calls,
        tables: Tables,
        events: Events,
    ) -> None:
        self._engine = engine
        self._store = store
        self._calls = calls
        self._tables = tables
        self.events = events
        self._warned: set[tuple[str, date]] = set()

    def run(self, journal: Journal, run: str, part: int, job: Job) -> RunState:
        """Take a part of the job to its end; what breaks on the way is the run's state and
        reason."""
        log.info("%s: %s", "goes on" if part else "started", _beginning(job.input))
        self.events.publish("run", run=run, agent=job.agent.name, state="running")
        try:
            begun = _Run(self, journal, run, part, job)
            if job.agent.extract is None:
                begun.turns()
            else:
                begun.row(job.agent.extract)
            end = Ended("done")
        except Ended as ended:
            end = ended
        except Exception as error:
            log.exception("failed")
            end = Ended("failed", f"{type(error).__name__}: {error}", passing=True)
        retry = job.agent.retry
        wait = None
        if end.passing and job.failures < retry.times:
            wait = retry.wait * 2**job.failures
            tries = f"{job.failures + 1} of {retry.times}"
            end = Ended("retrying", f"{end.reason}; tries again in {wait:g} s ({tries})")

        def write() -> RunState:
            now = datetime.now(UTC)
            due = None if wait is None else now + timedelta(seconds=wait)
            return self._store.end_run(run, end.state, reason=end.reason, at=now, due=due)

        state = journal.step("store", write, retry=PASSING)
        self.events.publish("run", run=run, agent=job.agent.name, state=state, reason=end.reason)
        log.info("%s%s", state, f": {_beginning(end.reason)}" if end.reason else "")
        return state

    # the steps

    def begin(self, run: str, job: Job, first: Sequence[StoredMessage]) -> dict[str, Any]:
        """Mark the run as under way; what the store knows of it."""
        self._store.start_run(run, at=datetime.now(UTC))
        self._store.add_messages(run, first)
        events = self._store.audit.events(run=run)
        entries = list(self._store.ledger.entries(run=run))
        return {
            "messages": [asdict(message) for message in self._store.messages(run)],
            "entries": [asdict(entry) | {"at": entry.at.timestamp()} for entry in entries],
            "context_length": self._context_length(job.model) if entries else None,
            "seconds": sum(event.seconds or 0.0 for event in events),
            "succeeded": sorted({event.text for event in events if event.kind == "finished"}),
            "wanted": self._store.wanted(run),
            "outside": _from_outside(self._store.memory.blocks.of(job.agent.name)),
        }

    def generate(
        self, job: Job, messages: Sequence[Message], seed: int, tokens_left: int | None
    ) -> dict[str, Any]:
        """One turn. An error of the engine is a result too, with its usage where it took any."""
        agent = job.agent
        limit = self._day(agent)
        if limit is not None:
            return {"spent": limit}
        tools = self._calls.tools(agent)
        blocks = self._store.memory.blocks.of(agent.name)
        request = Request(
            messages=with_blocks(messages, blocks, tools),
            tools=[declaration(tool) for tool in tools],
            tool_choice=called(agent.tool_choice) if tools else "auto",
            thinking=agent.thinking,
            seed=seed,
            max_tokens=tokens_left,
        )
        return self._generated(job, request) | {"outside": _from_outside(blocks)}

    def _day(self, agent: Agent) -> str | None:
        """The day's limit that is reached, in words."""
        if agent.budget.day == Limits():
            return None
        spends = self._store.ledger.spends(today(datetime.now(UTC)), agent=agent.name)
        day, peer = agent.budget.day, agent.budget.peer
        limit = spent(day, spends, peer)
        if limit is not None:
            return f"the day's budget of {limit} is spent"
        near = spent(nearly(day, NEARLY), spends, peer)
        told = (agent.name, datetime.now().astimezone().date())
        if near is not None and told not in self._warned:
            self._warned.add(told)
            share = f"{NEARLY:.0%}"
            log.warning("%s: %s of the day's budget is spent (%s)", told[0], share, near)
        return None

    def extract(self, job: Job, extract: Extract) -> dict[str, Any]:
        """Make a row of the run's document, and of those whose runs are queued behind it: they are
        read side by side, and their own runs find them done."""
        limit = self._day(job.agent)
        if limit is not None:
            return {"spent": limit}
        if job.document is None:
            return {"error": "extract makes a row of a file, and the run is about none"}
        agent = job.agent.name
        table = Table(agent, job.model, job.instructions, extract.fields, extract.output)
        queued = self._store.runs(agent=agent, state="queued", count=BATCH - 1)
        given = [self._store.job(run.id) or {} for run in queued]
        behind = [one["document"] for one in given if one.get("document") is not None]
        try:
            rows = self._tables.add(table, [job.document], behind=behind)
        except (AgentError, EngineError, ToolError) as error:
            return {"error": str(error)}
        mine = next(row for row in rows if row.source == job.document)
        if mine.error is not None:
            return {"error": mine.error}
        return {"text": json.dumps(mine.value, ensure_ascii=False)}

    def summarise(
        self, job: Job, stored: Sequence[StoredMessage], kept: int, context_length: int, seed: int
    ) -> dict[str, Any]:
        """A summary of the messages up to `kept`."""
        return self._generated(job, summary_request(stored, kept, context_length, seed))

    def _generated(self, job: Job, request: Request) -> dict[str, Any]:
        request = replace(request, owner=job.agent.name, priority=job.agent.priority)
        try:
            engine = self._engine(job.model)
            try:
                with generation_span(engine.name, request) as span:
                    result = self._result(engine, request)
                    record_result(span, result)
            except (AnswerError, ServerError) as error:
                metered = _metered(engine, error.usage)
                return {"error": str(error), "passing": True, **metered}
        except CapacityError as error:
            return {"error": str(error), "passing": True}
        except EngineError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("the engine failed")
            return {"error": f"{type(error).__name__}: {error}", "passing": True}
        return {**_written(result), **_metered(engine, result.usage)}

    def _result(self, engine: AnyEngine, request: Request) -> Result:
        """Generate, and show whoever looks on how the canvas comes into focus."""
        run = current_run()
        if isinstance(engine, RemoteEngine) or run is None or not self.events.listened:
            return engine.generate(request)
        return engine.generate(request, watch=Canvases(self.events, engine, *run))

    def _context_length(self, model: str) -> int | None:
        try:
            return self._engine(model).context_length
        except EngineError:
            return None  # the turn that needs the model says so

    def call(self, asked: Asked) -> dict[str, Any]:
        """One tool call."""
        return self._calls.make(asked).json()

    @property
    def store(self) -> Store:
        return self._store


class _Run:
    """The state of one part of a run while it is carried out; rebuilt from the steps after a
    crash, and from the store when a later part begins."""

    def __init__(self, loop: Loop, journal: Journal, run: str, part: int, job: Job) -> None:
        self.loop, self.journal, self.run, self.part, self.job = loop, journal, run, part, job
        self.stored: list[StoredMessage] = []
        self.entries: list[LedgerEntry] = []
        self.outside = job.outside  # and whether a block was shown that may come from there
        self.left_over = part > 0  # what is pending was left by an earlier part
        self.seconds = 0.0  # of the tool calls
        self.succeeded: set[str] = set()
        self.source = job.document
        self.context_length: int | None = None

    def turns(self) -> None:
        self._begin()
        while True:
            for number, call in self._pending():
                self._call(call, f"{self.run}/{self._turn - 1}/{number}")
            self.left_over = False
            self._look_at_the_budget()
            self._compact()
            if not self._generate():
                return

    def row(self, extract: Extract) -> None:
        """Make a row of the document, in place of turns."""
        self._begin()
        if self._turn:
            return
        made = self._step("extract", self.loop.extract, self.job, extract)
        if "spent" in made:
            raise Ended("stopped", made["spent"])
        if "error" in made:
            raise Ended("failed", made["error"])
        self._keep([StoredMessage(len(self.stored), "assistant", made["text"])])

    def _begin(self) -> None:
        opening = (
            StoredMessage(0, "system", self.job.instructions),
            StoredMessage(1, "user", self.job.input),
        )
        known = self._step("store", self.loop.begin, self.run, self.job, opening)
        self.outside |= known["outside"]
        self.stored = [StoredMessage(**message) for message in known["messages"]]
        for row in known["entries"]:
            self.entries.append(
                LedgerEntry(**(row | {"at": datetime.fromtimestamp(row["at"], UTC)}))
            )
        self.context_length = known["context_length"]
        self.seconds = known["seconds"]
        self.succeeded = set(known["succeeded"])
        for message in self.stored:
            for call in message.tool_calls:
                self._note_source(call["name"], call["arguments"])
        self._heed(known["wanted"])

    @property
    def _turn(self) -> int:
        """How many turns were written."""
        return sum(message.role == "assistant" for message in self.stored)

    def _pending(self) -> list[tuple[int, ToolCall]]:
        """The calls of the last turn that have no result yet, with their numbers."""
        last = max((n for n, m in enumerate(self.stored) if m.role == "assistant"), default=None)
        if last is None:
            return []
        done = sum(message.role == "tool" for message in self.stored[last:])
        made = [ToolCall(c["name"], c["arguments"]) for c in self.stored[last].tool_calls]
        return list(enumerate(made))[done:]

    def _look_at_the_budget(self) -> None:
        budget = self.job.agent.budget
        spends = spends_of(self.entries)
        limit = spent(budget, spends, budget.peer, more_seconds=self.seconds)
        if limit is not None:
            raise Ended("stopped", f"the budget of {limit} is spent")

    def _compact(self) -> None:
        """Have the old turns summarised, where the next one would outgrow the context."""
        if self.context_length is None or not self.entries:
            return
        last = self.entries[-1]
        unseen = 0
        for message in reversed(self.stored):
            if message.role == "assistant":
                break
            unseen += len(message.content)
        tokens = last.prompt_tokens + last.output_tokens
        kept = needed(self.stored, tokens, unseen, self.context_length)
        if kept is None:
            return
        seed = seed_of(self.run, self._turn, self.part)
        written = self._step(
            "summarise",
            self.loop.summarise,
            self.job,
            self.stored,
            kept,
            self.context_length,
            seed,
        )
        if "text" not in written:
            log.warning("no summary: %s", written["error"])
            return
        summary = StoredMessage(len(self.stored), "summary", written["text"], name=str(kept))
        self._keep([summary], self._entry(written, f"{self.run}/{self._turn}/summary"))
        log.info("%d messages summarised", kept - 2)
        self._look_at_the_budget()  # the summary may have been the last that it allows

    def _generate(self) -> bool:
        """Write a turn; whether it makes calls."""
        turn = self._turn
        self._tell("turn", number=turn + 1)
        limit = self.job.agent.budget.tokens
        taken = sum(entry.prompt_tokens + entry.output_tokens for entry in self.entries)
        written = self._step(
            "generate",
            self.loop.generate,
            self.job,
            conversation(self.stored),
            seed_of(self.run, turn, self.part),
            None if limit is None else limit - taken,
        )
        if "spent" in written:
            raise Ended("stopped", written["spent"])
        self.outside |= written["outside"]
        passing = written.get("passing", False)
        if "usage" not in written:
            raise Ended("failed", written["error"], passing=passing)
        entry = self._entry(written, f"{self.run}/{turn}{f'/{self.part}' if self.part else ''}")
        if "error" in written:
            self._keep([], entry)
            raise Ended("failed", written["error"], passing=passing)
        self._tell("usage", **written["usage"], text=_beginning(written["text"]))
        self.context_length = written["context_length"]
        text, calls = written["text"], written["tool_calls"]
        self._keep([StoredMessage(len(self.stored), "assistant", text, calls)], entry)
        if written["finish_reason"] == "length":
            self._look_at_the_budget()
            raise Ended("stopped", f"turn {turn + 1} was cut off: the context is full")
        if not calls and not text.strip():
            raise Ended("stopped", f"turn {turn + 1} says nothing")
        return bool(calls)

    def _entry(self, written: Mapping[str, Any], key: str) -> LedgerEntry:
        entry = LedgerEntry(
            key=key,
            run=self.run,
            agent=self.job.agent.name,
            model=written["model"],
            device=written["device"],
            at=datetime.fromtimestamp(written["at"], UTC),
            **written["usage"],
        )
        self.entries.append(entry)
        return entry

    def _call(self, call: ToolCall, key: str) -> None:
        name = call_text(call.name, call.arguments)
        # One that an earlier part left may have succeeded there; or the person wants it repeated.
        if name in self.succeeded and not self.left_over:
            raise Ended("stopped", f"{name} was called again after it had succeeded")
        tainted = self.outside or any(message.role == "tool" for message in self.stored)
        self._tell("call", text=_beginning(name))
        asked = Asked(call, key, self.part, self.run, self.job.agent, self.source, tainted)
        answer = Answer(**self._step(f"tool {call.name}", self.loop.call, asked))
        self.seconds += answer.seconds
        if answer.fatal is not None:
            raise Ended("failed", answer.fatal, passing=True)
        if answer.waits is not None:
            self._tell("inbox", text=answer.waits)
            raise Ended("waiting", answer.waits)
        self._tell("result", ok=answer.ok, text=_beginning(answer.content))
        log.info("%s: %s", _beginning(name), "ok" if answer.ok else _beginning(answer.content))
        if answer.ok:
            self.succeeded.add(name)
            self._note_source(call.name, call.arguments)
        self._keep([StoredMessage(len(self.stored), "tool", answer.content, name=call.name)])
        results = [message for message in self.stored if message.role == "tool"]
        if len(results) >= FAILURES and all(_failed(message) for message in results[-FAILURES:]):
            last = results[-1].content.removeprefix("error: ")
            raise Ended("stopped", f"{FAILURES} calls in a row failed, the last with: {last}")

    def _note_source(self, name: str, arguments: Mapping[str, Any]) -> None:
        """A run that was given no document is about the one that it reads."""
        if name == "read_file" and self.job.document is None:
            self.source = arguments["path"]

    def _keep(self, added: Sequence[StoredMessage], entry: LedgerEntry | None = None) -> None:
        """Append to the conversation, here and in the store, and heed what the person wants."""
        self.stored.extend(added)

        def write() -> str | None:
            self.loop.store.add_messages(self.run, added)
            if entry is not None:
                self.loop.store.ledger.add(entry)
            return self.loop.store.wanted(self.run)

        self._heed(self._step("store", write))

    def _tell(self, kind: Kind, **data: Any) -> None:
        self.loop.events.publish(kind, run=self.run, agent=self.job.agent.name, **data)

    def _heed(self, wanted: str | None) -> None:
        if wanted is not None:
            raise Ended("paused" if wanted == "pause" else "cancelled", "by the person")

    def _step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.journal.step(name, function, *arguments, retry=PASSING)


def declaration(tool: Tool) -> ToolDeclaration:
    return ToolDeclaration(tool.name, tool.description, tool.parameters)


def seed_of(run: str, turn: int, part: int = 0) -> int:
    """The seed of one turn: a generation that is repeated after a crash is the same, one of a later
    part is another."""
    text = f"{run}/{turn}/{part}" if part else f"{run}/{turn}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def _from_outside(blocks: Sequence[Block]) -> bool:
    return any(block.outside for block in blocks)


def _beginning(text: str) -> str:
    return text if len(text) <= LOGGED else f"{text[:LOGGED]}… ({len(text):,} characters)"


def _failed(message: StoredMessage) -> bool:
    return message.content.startswith("error: ")


def _written(result: Result) -> dict[str, Any]:
    return {
        "text": result.text,
        "tool_calls": [
            {"name": call.name, "arguments": dict(call.arguments)} for call in result.tool_calls
        ],
        "finish_reason": result.finish_reason,
    }


def _metered(engine: AnyEngine, usage: Usage) -> dict[str, Any]:
    """What the ledger is told of a generation, and how long a prompt may become."""
    return {
        "usage": asdict(usage),
        "model": engine.name,
        "device": engine.device,
        "context_length": engine.context_length,
        "at": time.time(),
    }
