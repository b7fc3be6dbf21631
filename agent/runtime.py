"""A project: its agents, its store, and the runs it carries out.

State lives in `FOLDER/.gesso/`: `store.db` (what people ask for) and `durable.db` (how far each
run has come); or both in PostgreSQL. Paths that agents and triggers name are inside `FOLDER`. A
process has one open runtime at a time.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..engine import AnyEngine, ConstraintError, json_schema
from ..engine import tools as tools_constraint
from ..memory import Embedding, Letter, Run, Store, StoreError, served_embedding
from ..tools import (
    Registry,
    Servers,
    Tool,
    ToolError,
    Workspace,
    WorkspaceError,
    read_secrets,
)
from ..tools.people import PERSON
from . import frontmatter
from .agent import Agent, Extract
from .allocator import GIVE_BACK_SECONDS, give_back
from .calls import Calls
from .durable import Journal
from .errors import AgentError, OutputError, ProjectError, RunError, SchemaError
from .events import Events
from .jobs.job import TRIGGER
from .jobs.table import Table, Tables
from .jobs.tool import extraction
from .log import in_run
from .loop import Job, Loop, declaration
from .models import engine_of
from .prompt import read_guide, system_text
from .settings import Settings, read_settings
from .skill import load_skill, skill_file
from .state import SECRETS, state_of, store_of
from .telemetry import record_state, run_span
from .trigger import FolderTrigger, MessageTrigger, Trigger, WebhookTrigger
from .watch import Watch
from .word import Word

log = logging.getLogger("gesso")

PRIORITIES = {"high": 1, "normal": 2, "low": 3}
POST_SECONDS = 0.25
"""How often the store is looked at for what should begin or go on."""
TIDY_SECONDS = 300
"""How often, and how long after its end, what the journal knows of a run's steps is forgotten; the
store keeps the run."""


class Runtime:
    """`engine` is used for every agent: an engine, or the name of a model; without it each agent
    has the model of the settings, or else of its file. `settings` are the project's own, read from
    its folder and the environment, where they are not given. `tools` are offered beside the
    built-in ones. A runtime that does not `listen` carries out what it starts itself and leaves
    queued runs to another.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        engine: AnyEngine | str | None = None,
        tools: Iterable[Tool] = (),
        listen: bool = True,
        settings: Settings | None = None,
    ) -> None:
        self.folder = Path(folder).resolve()
        state = state_of(self.folder)
        self.agents: dict[str, Agent] = {}
        self._homes: dict[Path, str] = {}
        self.settings = read_settings(self.folder) if settings is None else settings
        self._engine = self.settings.model if engine is None else engine
        self._engines: dict[str, AnyEngine] = {}
        self._engine_lock = threading.Lock()
        self._troubles: dict[str, str] = {}  # what cannot be delivered for now, and why
        self._state = state
        self._secrets = state / SECRETS
        self._servers = Servers(self.folder, self._secrets)
        self._workspace = Workspace(self.folder)
        embedding = embedding_of(self.settings, state)
        self.store = Store(store_of(self.folder, self.settings), embedding=embedding)
        self._tables = Tables(
            engine=self.engine, store=self.store, workspace=self._workspace, state=state
        )
        extract_records = extraction(self._tables, lambda agent: self.model_of(self.agents[agent]))
        self._registry = Registry([extract_records, *tools], self._servers)
        calls = Calls(
            store=self.store,
            registry=self._registry,
            workspace=self._workspace,
            secrets=self._secrets,
            listeners=self._listeners,
        )
        self.word = Word(
            self.store, self._workspace, self._secrets, lambda: self.agents, calls.tools
        )
        self.events = Events()
        self._loop = Loop(
            engine=self.engine,
            store=self.store,
            calls=calls,
            tables=self._tables,
            events=self.events,
        )
        # Before the journal: what goes on at once may write to any of them. Whoever loads the
        # project is told of a file that cannot be taken in.
        for path in sorted((self.folder / "agents").glob("*.md")):
            with suppress(AgentError):
                self.add(path)
        try:
            self._journal = Journal(
                state,
                self._carry_out,
                listen=listen,
                concurrency=self.settings.concurrency,
                database=self.settings.database_url,
            )
        except BaseException:
            self.store.close()
            raise

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; a run in the middle stops at its next step and goes on with the next runtime."""
        self._journal.close()
        self._servers.close()
        self.store.close()

    # agents

    def add(self, path: str | Path) -> Agent:
        """Take an agent's file in, in place of what it said before, and refuse what could not run:
        unknown tools, schemas that the engine cannot hold to, folders and skills that are not
        there."""
        path = Path(path)
        front = frontmatter.read(path)
        agent = Agent.from_front_matter(front)
        former = self._homes.get(path.resolve())
        if agent.name in self.agents and agent.name != former:
            raise front.error(("name",), f"another agent is called {agent.name} already")
        self._check_skills(agent, front)
        offered: list[Tool] = []
        for number, name in enumerate(agent.offered):
            try:
                found = self._registry.select(
                    [name], record=agent.record_schema, skills=agent.skills
                )
            except ToolError as error:
                raise front.error(("tools", number), str(error)) from None
            for tool in found if "/" in name else ():
                try:
                    tools_constraint([declaration(tool)])
                except ConstraintError as error:
                    what = f"no model can be held to its schema; name other tools: {error}"
                    raise front.error(("tools", number), f"{tool.name}: {what}") from error
            offered += found
        try:
            agent.rules.check(offered)
        except ToolError as error:
            raise front.error(("permissions",), str(error)) from None
        for name, schema in (agent.record or {}).items():
            try:
                json_schema(schema)
            except ConstraintError as error:
                raise front.error(("record", name), str(error)) from error
        if agent.extract is not None:
            self._check_extract(agent, agent.extract, front)
        for number, trigger in enumerate(agent.triggers):
            self._check_trigger(trigger, number, former, front)
        if former is not None and former != agent.name:
            del self.agents[former]
        self.agents[agent.name] = agent
        self._homes[path.resolve()] = agent.name
        return agent

    def remove(self, path: str | Path) -> str:
        """Let go of the agent of a file that was taken in, and name it; its runs go on."""
        name = self._homes.pop(Path(path).resolve())
        del self.agents[name]
        return name

    def _check_skills(self, agent: Agent, front: frontmatter.FrontMatter) -> None:
        for number, name in enumerate(agent.skills):
            file = skill_file(self.folder, name)
            if not file.exists():
                raise front.error(("skills", number), f"{file}: no such file; write it")
            load_skill(self.folder, name)

    def _check_extract(
        self, agent: Agent, extract: Extract, front: frontmatter.FrontMatter
    ) -> None:
        table = Table(agent.name, agent.model, agent.instructions, extract.fields, extract.output)
        try:
            schema, _ = self._tables.check(table)
            json_schema(schema.told)
        except (SchemaError, ConstraintError) as error:
            raise front.error(("extract", "fields"), str(error)) from None
        except (OutputError, WorkspaceError) as error:
            raise front.error(("extract", "output"), str(error)) from None

    def _check_trigger(
        self, trigger: Trigger, number: int, former: str | None, front: frontmatter.FrontMatter
    ) -> None:
        if isinstance(trigger, FolderTrigger):
            try:
                found = self._workspace.resolve(trigger.folder).is_dir()
            except WorkspaceError as error:
                raise front.error(("triggers", number, "folder"), str(error)) from None
            if not found:
                what = f"{self.folder / trigger.folder}: no such folder; create it"
                raise front.error(("triggers", number, "folder"), what)
        if isinstance(trigger, WebhookTrigger):
            for other in self.agents.values():
                if other.name != former and str(trigger) in map(str, other.triggers):
                    what = f"{other.name} has a webhook {trigger.webhook} already"
                    raise front.error(("triggers", number, "webhook"), what)

    def load(self) -> list[Agent]:
        """Take in every `agents/*.md` of the project."""
        return [self.add(path) for path in agent_files(self.folder)]

    def engine(self, model: str) -> AnyEngine:
        """The model's engine, loaded when it is first asked for."""
        if self._engine is not None and not isinstance(self._engine, str):
            return self._engine
        with self._engine_lock:
            if model not in self._engines:
                log.info("loading %s", model)
                self._engines[model] = engine_of(model, self.settings, self._state)
            return self._engines[model]

    def model_of(self, agent: Agent) -> str:
        """The name of the model that this agent's next run is pinned to."""
        if self._engine is None:
            return agent.model
        return self._engine if isinstance(self._engine, str) else self._engine.name

    def _listeners(self, agent: str) -> list[str]:
        """The agents that take messages from this one."""
        return [
            other.name
            for other in self.agents.values()
            if any(isinstance(t, MessageTrigger) and t.sender == agent for t in other.triggers)
        ]

    # runs

    def run(self, agent: str, message: str, *, outside: bool = False) -> Run:
        """One run, here and now; returns when it has ended, however it ended. `outside`: the
        message is not the person's own words."""
        run = f"{agent}-{uuid.uuid4().hex[:12]}"
        job = self._job(agent, message, None, outside=outside)
        self._add(run, job, "manual")
        self._journal.start(run, _payload(run, 0, job))
        return self.wait(run)

    def enqueue(
        self,
        agent: str,
        message: str,
        *,
        key: str,
        trigger: str,
        document: str | None = None,
        outside: bool = False,
    ) -> str:
        """Queue a run, and name it. The same key of the same agent is one run for ever.

        `outside`: the message holds what the person did not write.
        """
        digest = hashlib.sha256(f"{agent}\0{key}".encode()).hexdigest()
        run = f"{agent}-{digest[:12]}"
        if self.store.run(run) is None:
            self._add(run, self._job(agent, message, document, outside=outside), trigger)
            self.events.publish("run", run=run, agent=agent, state="queued")
            with in_run(run, agent):
                log.info("queued: %s", trigger)
        # Of one that is known too: a kill may have come between the store and the queue.
        known = self._known(run)
        if known.state == "queued":
            self._queue(known)
        return run

    def enqueue_document(self, agent: str, path: Path, *, changed: bool = True) -> str:
        """Queue a run for a file of the project, and name it. The same content under the same
        name is one run for ever; without `changed` the same name is."""
        name = self._workspace.name(path)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        return self.enqueue(
            agent,
            f"New file: {name}",
            key=f"{name}\0{content}" if changed else name,
            trigger=f"file {name}",
            document=name,
            outside=True,  # the name is whoever's who put the file there
        )

    def wait(self, run: str) -> Run:
        """The run when its present part has ended."""
        known = self._known(run)
        if known.state in ("queued", "running"):
            self._journal.wait(_work_of(run, known.part))
        return self._known(run)

    def _known(self, run: str) -> Run:
        found = self.store.run(run)
        if found is None:
            raise RunError(f"run {run}: is not in the store")
        return found

    def watch(self, stop: threading.Event) -> None:
        """Until `stop` is set: queue a run whenever a trigger of an agent asks for one, deliver
        what agents are told, and keep up with the files of `agents/`."""
        host, port = self.settings.web_host, self.settings.web_port
        watch = Watch(self, secrets=self._secrets, host=host, port=port)
        delivering = threading.Thread(target=self._deliver, args=(stop,), daemon=True)
        delivering.start()
        try:
            watch.run(stop)
        finally:
            stop.set()
            delivering.join()
            watch.close()

    def work(self, stop: threading.Event) -> None:
        """Until `stop` is set: carry out what is queued, and nothing else."""
        while not stop.wait(GIVE_BACK_SECONDS):
            give_back()

    def _deliver(self, stop: threading.Event) -> None:
        """Begin what was told to agents, and let go on what waited, until `stop` is set."""
        tidied = given = -math.inf
        while not stop.wait(POST_SECONDS):
            if time.monotonic() - tidied > TIDY_SECONDS:
                tidied = time.monotonic()
                self._attempt("the runs that are under way", self._look_after)
            if time.monotonic() - given > GIVE_BACK_SECONDS:
                given = time.monotonic()
                give_back()
            self._attempt("what waits", self.deliver)

    def _look_after(self) -> None:
        """Queue what a kill kept from it, and end what was given up without an end: its disk was
        full, its journal is gone, or it was begun by another version. Then forget what is done."""
        for run in (*self.store.runs(state="queued"), *self.store.runs(state="running")):
            if run.trigger == TRIGGER:
                continue  # a job has no journal: whoever carries it out holds its lock
            fate = self._journal.fate(_work_of(run.id, run.part))
            if fate == "unknown" and run.state == "queued":
                self._attempt(f"{run.id} is not queued", self._queue, run)
            elif fate in ("unknown", "broken"):
                reason = "it was given up before its end; gesso resume lets it go on"
                self.store.end_run(run.id, "failed", reason=reason, at=datetime.now(UTC))
                self._journal.give_up(_work_of(run.id, run.part))
                log.error("%s: %s", run.id, reason)
        self._journal.tidy(datetime.now(UTC) - timedelta(seconds=TIDY_SECONDS))

    def deliver(self) -> None:
        """Queue a run for every message that is due, and the next part of every run that can go on:
        the person has answered, or the time to try again has come. What cannot be queued now holds
        up nothing else, and is tried again at the next delivery."""
        now = datetime.now(UTC)
        for letter in self.store.mail.due(now):
            self._attempt(f"message {letter.key} to {letter.agent} is held", self._begin, letter)
        for run in self.store.ready_runs(now):
            self._attempt(f"{run.id} does not go on", self._go_on, run)

    def _attempt(self, what: str, work: Callable[..., None], *arguments: Any) -> None:
        """Do the work; that it failed is logged, once for each reason."""
        try:
            work(*arguments)
        except Exception as error:
            trouble = f"{what}: {error}"
            if self._troubles.get(what) != trouble:
                self._troubles[what] = trouble
                expected = isinstance(error, AgentError | StoreError)
                log.error("%s", trouble, exc_info=None if expected else error)
        else:
            self._troubles.pop(what, None)

    def _begin(self, letter: Letter) -> None:
        run = self.enqueue(
            letter.agent,
            letter.text,
            key=f"mail {letter.key}",
            trigger=f"message from {letter.sender}",
            outside=letter.sender != PERSON,
        )
        self.store.mail.delivered(letter.key, run)

    def _go_on(self, run: Run) -> None:
        job = Job.model_validate(self.store.job(run.id))
        # Its agent as it is now: the person may have mended what stopped it.
        agent = self.agents.get(job.agent.name, job.agent)
        failures = job.failures + 1 if run.state == "retrying" and run.due is not None else 0
        job = job.model_copy(update={"agent": agent, "failures": failures})
        if self.store.continue_run(run.id, run.part, job.model_dump(mode="json")):
            self._enqueue(run.id, run.part + 1, job)

    def _job(self, agent: str, message: str, document: str | None, *, outside: bool = False) -> Job:
        if agent not in self.agents:
            known = ", ".join(sorted(self.agents)) or "none"
            raise ProjectError(f"unknown agent {agent}; known are {known}")
        definition = self.agents[agent]
        skills = [load_skill(self.folder, name) for name in definition.skills]
        facts = []
        if definition.recall:
            facts = self.store.memory.recall(message, definition.recall, agent=agent)
            self.store.memory.count_use(facts, at=datetime.now(UTC))
        guide = read_guide(self.folder)
        return Job(
            agent=definition,
            instructions=system_text(definition.instructions, guide, skills, facts),
            model=self.model_of(definition),
            input=message,
            document=document,
            outside=outside or bool(facts),  # a fact may be what a document said
        )

    def _add(self, run: str, job: Job, trigger: str) -> None:
        now = datetime.now(UTC)
        row = Run(run, job.agent.name, trigger, job.input, "queued", job.model, now)
        self.store.add_run(row, job.model_dump(mode="json"))

    def _queue(self, run: Run) -> None:
        """Have the part of a run that the store holds carried out; once, however often it is
        queued."""
        self._enqueue(run.id, run.part, Job.model_validate(self.store.job(run.id)))

    def _enqueue(self, run: str, part: int, job: Job) -> None:
        agent = job.agent
        # A lane holds one run at a time, so an agent has as many lanes as it may have runs.
        lane = int.from_bytes(hashlib.sha256(run.encode()).digest()[:4]) % agent.concurrency
        self._journal.enqueue(
            _work_of(run, part),
            _payload(run, part, job),
            lane=f"{agent.name}/{lane}",
            priority=PRIORITIES[agent.priority],
        )

    def _carry_out(self, journal: Journal, payload: dict[str, Any]) -> str:
        job = Job.model_validate(payload["job"])
        run = payload["run"]
        with in_run(run, job.agent.name), run_span(job.model) as span:
            state = self._loop.run(journal, run, payload["part"], job)
            record_state(span, state)
            return state


def _work_of(run: str, part: int) -> str:
    """The name of the durable work that carries out a part of a run."""
    return f"{run}+{part}" if part else run


def _payload(run: str, part: int, job: Job) -> dict[str, Any]:
    return {"run": run, "part": part, "job": job.model_dump(mode="json")}


def embedding_of(settings: Settings, state: Path) -> Embedding | None:
    """The model of meaning that a project's settings name. Raises `SecretError` without its key."""
    if settings.embedding_url is None:
        return None
    name = settings.embedding_key
    names = [] if name is None else [name]
    secrets = read_secrets(names, environment=os.environ, file=state / SECRETS)
    key = None if name is None else secrets[name]
    return served_embedding(settings.embedding_url, settings.embedding_model, key=key)


def agents_of(folder: Path) -> list[Agent]:
    """The agents of a project, as their files say; nothing is looked up."""
    return [Agent.load(path) for path in agent_files(folder)]


def agent_files(folder: Path) -> list[Path]:
    """The agents' files of a project, at least one."""
    paths = sorted((folder / "agents").glob("*.md"))
    if not paths:
        raise ProjectError(f"{folder}: no agents; write one to {folder / 'agents'}/NAME.md")
    return paths
