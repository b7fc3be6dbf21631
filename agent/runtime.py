"""A project: its agents, its store, and the runs it carries out.

State lives in `FOLDER/.gesso/`: `store.db` (what people ask for) and `durable.db` (how far each
run has come). Paths that agents and triggers name are inside `FOLDER`. A process has one open
runtime at a time.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..engine import ConstraintError, Engine, json_schema, load_engine
from ..memory import Run, Store
from ..tools import Registry, Tool, ToolError, Workspace, WorkspaceError
from . import frontmatter
from .agent import Agent
from .durable import Journal
from .errors import ProjectError, RunError
from .loop import Job, Loop
from .prompt import read_guide, system_text
from .skill import load_skill, skill_file
from .trigger import FolderTrigger, Trigger, WebhookTrigger
from .watch import Watch
from .webhook import HOST, PORT

log = logging.getLogger("gesso")

STATE = ".gesso"


class Runtime:
    """`engine` is used for every agent: an engine, or the name of a model; without it each agent
    has the model that its file names. `tools` are offered beside the built-in ones. A runtime
    that does not `listen` carries out what it starts itself and leaves queued runs to another.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        engine: Engine | str | None = None,
        tools: Iterable[Tool] = (),
        listen: bool = True,
    ) -> None:
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise ProjectError(f"{folder}: no such folder")
        self.agents: dict[str, Agent] = {}
        self._homes: dict[Path, str] = {}
        self._engine = engine
        self._engines: dict[str, Engine] = {}
        self._engine_lock = threading.Lock()
        self._registry = Registry(tools)
        self._workspace = Workspace(self.folder)
        state = self.folder / STATE
        self._secrets = state / "secrets"
        if not state.is_dir():
            state.mkdir(mode=0o700, exist_ok=True)
            (state / ".gitignore").write_text("*\n")
        self.store = Store(state / "store.db")
        self._loop = Loop(
            engine=self.engine,
            store=self.store,
            registry=self._registry,
            workspace=self._workspace,
            secrets=self._secrets,
        )
        try:
            self._journal = Journal(state, self._carry_out, listen=listen)
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
                offered += self._registry.select(
                    [name], record=agent.record_schema, skills=agent.skills
                )
            except ToolError as error:
                raise front.error(("tools", number), str(error)) from None
        try:
            agent.rules.check(offered)
        except ToolError as error:
            raise front.error(("permissions",), str(error)) from None
        for name, schema in (agent.record or {}).items():
            try:
                json_schema(schema)
            except ConstraintError as error:
                raise front.error(("record", name), str(error)) from error
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

    def engine(self, model: str) -> Engine:
        """The model's engine, loaded when it is first asked for."""
        if self._engine is not None and not isinstance(self._engine, str):
            return self._engine
        with self._engine_lock:
            if model not in self._engines:
                log.info("loading %s", model)
                self._engines[model] = load_engine(model)
            return self._engines[model]

    def model_of(self, agent: Agent) -> str:
        """The name of the model that this agent's next run is pinned to."""
        if self._engine is None:
            return agent.model
        return self._engine if isinstance(self._engine, str) else self._engine.name

    # runs

    def run(self, agent: str, message: str) -> Run:
        """One run, here and now; returns when it has ended, however it ended."""
        run = f"{agent}-{uuid.uuid4().hex[:12]}"
        job = self._job(agent, message, None)
        self._add(run, job, "manual")
        self._journal.start(run, job.model_dump(mode="json"))
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

        `outside`: the message holds what neither the person nor an agent wrote.
        """
        digest = hashlib.sha256(f"{agent}\0{key}".encode()).hexdigest()
        run = f"{agent}-{digest[:12]}"
        job = self._job(agent, message, document, outside=outside)
        if self._add(run, job, trigger):
            log.info("%s: queued: %s", run, trigger)
        # Queued in any case: a kill may have come between the two.
        self._journal.enqueue(run, job.model_dump(mode="json"))
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
        )

    def wait(self, run: str) -> Run:
        self._journal.wait(run)
        ended = self.store.run(run)
        if ended is None:
            raise RunError(f"run {run}: is not in the store")
        return ended

    def watch(self, stop: threading.Event, *, host: str = HOST, port: int = PORT) -> None:
        """Queue a run whenever a trigger of an agent asks for one, and keep up with the files of
        `agents/`, until `stop` is set. Webhooks are taken at `host` and `port`."""
        watch = Watch(self, secrets=self._secrets, host=host, port=port)
        try:
            watch.run(stop)
        finally:
            watch.close()

    def _job(self, agent: str, message: str, document: str | None, *, outside: bool = False) -> Job:
        if agent not in self.agents:
            known = ", ".join(sorted(self.agents)) or "none"
            raise ProjectError(f"unknown agent {agent}; known are {known}")
        definition = self.agents[agent]
        skills = [load_skill(self.folder, name) for name in definition.skills]
        return Job(
            agent=definition,
            instructions=system_text(definition.instructions, read_guide(self.folder), skills),
            model=self.model_of(definition),
            input=message,
            document=document,
            outside=outside,
        )

    def _add(self, run: str, job: Job, trigger: str) -> bool:
        now = datetime.now(UTC)
        return self.store.add_run(
            Run(run, job.agent.name, trigger, job.input, "queued", job.model, now)
        )

    def _carry_out(self, journal: Journal, run: str, payload: dict[str, Any]) -> str:
        return self._loop.run(journal, run, Job.model_validate(payload))


def agent_files(folder: Path) -> list[Path]:
    """The agents' files of a project, at least one."""
    paths = sorted((folder / "agents").glob("*.md"))
    if not paths:
        raise ProjectError(f"{folder}: no agents; write one to {folder / 'agents'}/NAME.md")
    return paths
