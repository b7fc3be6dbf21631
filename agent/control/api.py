"""The routes of the control API. All of them want the token of `.gesso/control-token`.

`GET /v1/events` is a stream of server-sent events (WHATWG HTML, *Server-sent events*): each has the
number of a `Happening` as its id, and whoever comes back with `Last-Event-ID` gets what it missed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from ...memory import (
    Block,
    BlockError,
    Entry,
    Fact,
    FactError,
    Grant,
    InboxError,
    Job,
    JobError,
    Letter,
    Run,
    RunState,
    StoreError,
    Verdict,
)
from ...tools import ToolError
from ...tools.people import PERSON
from ..cost.report import By, basis_of
from ..errors import AgentError
from ..events import Events, Happening
from ..http import Guard
from ..jobs.job import job_of
from ..jobs.summary import Summary, summary_of
from ..plain import plain
from ..runtime import Runtime
from ..state import STATE
from ..trace import Trace, trace
from ..word import Shown
from .cost import cost_told
from .home import Home, home_of
from .metrics import metrics_of

PING_SECONDS = 15.0
MOST = 500
"""Items of one answer."""

Made = TypeVar("Made")
Id = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[\w.:+-]+$")]
Number = Annotated[int, Path(ge=0, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=MOST)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Told(_Body):
    """What the person tells an agent."""

    text: str = Field(min_length=1, max_length=20_000)


class Decided(_Body):
    """What the person says to an entry of the inbox: the answer to a question is its note."""

    verdict: Verdict
    note: str = Field(default="", max_length=20_000)
    edited: dict[str, Any] | None = Field(
        default=None, description="The arguments that the call is made with"
    )
    always: str | None = Field(
        default=None,
        min_length=1,
        max_length=2000,
        description="A rule of permissions that the agent is allowed from now on",
    )


class Said(_Body):
    """What a fact, or a block, is to say."""

    text: str = Field(max_length=20_000)


class Wanted(_Body):
    """What the person wants of a run."""

    wanted: Literal["pause", "resume", "cancel"]


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


@dataclass(frozen=True)
class Receipt:
    """A message that will be taken up."""

    message: str


@dataclass(frozen=True)
class Setting:
    name: str
    value: Any


def application(runtime: Runtime, events: Events, token: str, since: datetime) -> ASGIApp:
    """The API of a runtime that came up at a time."""
    refusals: dict[int | str, dict[str, Any]] = {
        400: {"model": Problem, "description": "The request cannot be read"},
        401: {"model": Problem, "description": "The token is missing or wrong"},
        404: {"model": Problem, "description": "There is no such thing"},
        409: {"model": Problem, "description": "It cannot be done now"},
        422: {"model": Problem, "description": "The request is wrong"},
    }
    api = FastAPI(title="gesso", version="1", docs_url=None, redoc_url=None, responses=refusals)
    store = runtime.store

    @api.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _problem(422, f"{where}: {first['msg']}")

    @api.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        answer = _problem(error.status_code, str(error.detail))
        if error.status_code == 405:  # a route knows only its own methods
            known = [r for r in api.routes if isinstance(r, Route)]
            here = [r.methods or () for r in known if r.path_regex.match(request.url.path)]
            answer.headers["Allow"] = ", ".join(sorted(set().union(*here)))
        return answer

    @api.exception_handler(AgentError)
    @api.exception_handler(InboxError)
    @api.exception_handler(FactError)
    @api.exception_handler(BlockError)
    @api.exception_handler(JobError)
    @api.exception_handler(StoreError)
    @api.exception_handler(ToolError)
    async def refused(_: Request, error: Exception) -> Response:
        return _problem(409, str(error))

    def known(found: Made | None, what: str) -> Made:
        if found is None:
            raise _Missing(what)
        return found

    @api.exception_handler(_Missing)
    async def missing(_: Request, error: _Missing) -> Response:
        return _problem(404, str(error))

    @api.get("/v1/home")
    def home() -> Home:
        """How the runtime stands: its agents, the queue, the inbox, the speed."""
        return home_of(runtime, since, datetime.now(UTC))

    @api.get("/v1/runs")
    def runs(
        agent: str | None = None, state: RunState | None = None, limit: Limit = 100
    ) -> list[Run]:
        """The last runs, the newest first."""
        return store.runs(agent=agent, state=state, count=limit, newest=True)

    @api.get("/v1/runs/{run}")
    def run(run: Id) -> Trace:
        """A run turn by turn: prompts, answers, calls, results, usage."""
        return trace(store, known(store.run(run), f"there is no run {run}"))

    @api.post("/v1/runs/{run}")
    def want(run: Id, body: Wanted) -> Run:
        """Pause, resume or cancel a run."""
        found = known(store.run(run), f"there is no run {run}")
        if body.wanted == "resume":
            done = store.resume(run)
        else:
            done = store.want(run, body.wanted, at=datetime.now(UTC))
        if not done:
            raise AgentError(f"{run} is {found.state}: it cannot be asked to {body.wanted}")
        return known(store.run(run), run)

    @api.post("/v1/agents/{agent}/messages", status_code=202)
    def tell(agent: Id, body: Told) -> Receipt:
        """Give an agent a message."""
        known(runtime.agents.get(agent), f"there is no agent {agent}")
        key = uuid.uuid4().hex
        store.mail.post(Letter(key, agent, PERSON, body.text, datetime.now(UTC)))
        return Receipt(key)

    @api.get("/v1/inbox")
    def inbox() -> list[Entry]:
        """What waits for the person."""
        return store.inbox.entries()

    @api.post("/v1/inbox/{number}")
    def decide(number: Number, body: Decided) -> Entry:
        """Approve or deny a call, answer a question, put a message aside."""
        return runtime.word.give(
            number,
            body.verdict,
            note=body.note,
            edited=body.edited,
            always=body.always,
            at=datetime.now(UTC),
        )

    @api.get("/v1/inbox/{number}")
    def entry(number: Number) -> Shown:
        """An entry with what its call would change, and the rule that allows it for good."""
        return runtime.word.show(number)

    @api.get("/v1/grants")
    def grants() -> list[Grant]:
        """What the person allowed the agents for good, beside their files."""
        return store.grants.all()

    @api.delete("/v1/grants/{number}")
    def withdraw(number: Number) -> Grant:
        """Take back what was allowed for good."""
        return store.grants.withdraw(number)

    @api.get("/v1/facts")
    def facts(
        query: Annotated[str | None, Query(max_length=500)] = None, limit: Limit = 100
    ) -> list[Fact]:
        """What the agents remember: the newest, or what a query recalls."""
        if query:
            return store.memory.recall(query, limit)
        return store.memory.facts()[::-1][:limit]

    @api.delete("/v1/facts/{number}")
    def forget(number: Number) -> Fact:
        """Forget a fact."""
        store.memory.forget(number, at=datetime.now(UTC))
        return store.memory.fact(number)

    @api.post("/v1/facts/{number}")
    def say_anew(number: Number, body: Said) -> Fact:
        """Say a fact anew: the new one, by the person, supersedes it."""
        old, now = store.memory.fact(number), datetime.now(UTC)
        return store.memory.remember(
            body.text,
            source=PERSON,
            at=now,
            agent=old.agent,
            episode=old.episode,
            supersedes=[number],
        )

    @api.post("/v1/blocks/{label}")
    def set_block(label: Id, body: Said, agent: str | None = None) -> Block:
        """Set a block, of an agent or of all."""
        now = datetime.now(UTC)
        return store.memory.blocks.put(label, body.text, at=now, agent=agent or None)

    @api.get("/v1/blocks")
    def blocks() -> list[Block]:
        """The blocks that were ever edited."""
        return store.memory.blocks.stored()

    @api.get("/v1/jobs")
    def jobs() -> list[Job]:
        """The document jobs, oldest first."""
        return store.jobs.all()

    @api.get("/v1/jobs/{job}")
    def job(job: Id) -> Summary:
        """How a job stands, what failed, what is least sure, what it cost."""
        known(store.jobs.get(job), f"there is no job {job}")
        basis = basis_of(runtime.settings)
        return summary_of(store, job_of(store, job), runtime.folder / STATE, basis)

    @api.get("/v1/cost")
    def cost(
        by: By = "day",
        electricity: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
        hardware: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
        vs: Annotated[list[str] | None, Query(max_length=20)] = None,
    ) -> dict[str, Any]:
        """What the work costs here and in the cloud: `gesso cost --json`, with the `series` of its
        chart and the `machines` that are known. What if a kilowatt hour cost something else, it
        were another machine, or set against other models."""
        given = {"electricity": electricity, "hardware": hardware}
        changed = {name: value for name, value in given.items() if value is not None}
        basis = basis_of(runtime.settings.model_copy(update=changed), vs or ())
        found = cost_told(store, by, basis, now=datetime.now(UTC))
        return json.loads(json.dumps(found, default=plain))

    @api.get("/v1/settings")
    def settings() -> list[Setting]:
        """The settings that the runtime came up with."""
        return [Setting(name, value) for name, value in runtime.settings.model_dump().items()]

    @api.get("/v1/events")
    async def happenings(
        last_event_id: Annotated[int | None, Header(ge=0, lt=2**63)] = None,
    ) -> StreamingResponse:
        """Everything that happens, from the event behind `Last-Event-ID` on, or from now."""
        return StreamingResponse(_stream(events, last_event_id), media_type="text/event-stream")

    @api.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """The figures in Prometheus' text format."""
        text = await run_in_threadpool(metrics_of, store)
        return Response(text, media_type="text/plain; version=0.0.4")

    return Guard(api, token)


class _Missing(Exception):  # noqa: N818 - an answer
    pass


def _problem(status: int, what: str) -> JSONResponse:
    return JSONResponse({"error": what}, status)


async def _stream(events: Events, last: int | None) -> AsyncIterator[str]:
    with events.listen() as listener:
        while True:
            for one in events.after(last):
                last = one.id
                yield sse(one)
            yield ": here\n\n"
            await listener.wait(PING_SECONDS)


def sse(one: Happening) -> str:
    """An event as it goes over the wire."""
    data = json.dumps(asdict(one), ensure_ascii=False, default=plain)
    return f"id: {one.id}\nevent: {one.kind}\ndata: {data}\n\n"
