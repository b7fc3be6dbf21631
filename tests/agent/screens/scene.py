"""A runtime at one moment, for pictures of the monitor that are the same wherever they are drawn.

The store, the runtime and the routes are real; the clock stands still, nothing is carried out, and
the stream is a few events that were written down.
"""

from __future__ import annotations

import asyncio
import datetime as clock
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gesso.agent.control.api as api
import httpx
import pytest
from gesso.agent import Runtime
from gesso.agent.control.api import application
from gesso.memory import JobDocument, JobPlan, LedgerEntry, Run, Store, StoredMessage
from gesso.tools.permissions import call_text
from scripted import engine, says
from starlette.types import ASGIApp

NOW = datetime(2026, 11, 20, 12, 34, 56, tzinfo=UTC)
TOKEN = "token"
FOLDER = "/srv/office"
RUN = "clerk-5f0c2a9b7d31"
WAITING = "clerk-0b1d77e2f4aa"
JOB = "extract-77aa01c39e5b"

AGENTS = {
    "clerk": """\
name: clerk
description: Files what comes in.
triggers:
  - {folder: inbox, pattern: "*.txt"}
  - {cron: "30 9 * * 1-5", zone: UTC, message: Write the report.}
tools: [read_file, write_file, ask_person]
permissions: {allow: [read_file, ask_person], ask: [write_file]}
""",
    "scout": """\
name: scout
description: Looks around.
triggers: [{every: 15m, message: Look.}]
tools: [read_file]
""",
}
SETTINGS = """\
hardware = "laptop"
electricity = 0.30
cloud = ["openai/gpt-4o-mini"]
"""
PIECES = ("{", "company", ":", "The", " Paper", " Kite", ",", "total", ":")
SURE = (1.0, 1.0, 1.0, 0.99, 0.96, 0.81, 0.7, 0.52, 0.12)


class Standing(datetime):
    """The clock of the routes."""

    @classmethod
    def now(cls, tz: clock.tzinfo | None = None) -> datetime:
        return NOW if tz is None else NOW.astimezone(tz)


@contextmanager
def scene(folder: Path) -> Iterator[ASGIApp]:
    """The control API of a runtime in an empty folder, with two agents and a little of all."""
    for name in ("agents", "inbox", "out"):
        (folder / name).mkdir()
    for name, front in AGENTS.items():
        (folder / "agents" / f"{name}.md").write_text(f"---\n{front}---\nDo it.\n")
    (folder / "out" / "list.txt").write_text("The Paper Kite 12.00\nBrandt 7.50\n")
    (folder / "gesso.toml").write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as patch, Runtime(folder, engine=engine(says("hi"))) as at:
        patch.setenv("TZ", "UTC")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))  # the prices of the package
        time.tzset()
        fill(at.store)
        routes = application(at, at.events, TOKEN, NOW - timedelta(hours=3))
        patch.setattr(api, "datetime", Standing)
        yield routes
    time.tzset()


def fill(store: Store) -> None:
    """Runs, what they took, what waits, what is remembered, and a job."""

    def at(**ago: float) -> datetime:
        return NOW - timedelta(**ago)

    def add(name: str, agent: str, state: Any, queued: datetime, reason: str | None = None) -> None:
        ended = None if state in ("queued", "running") else queued + timedelta(seconds=9)
        started = None if state == "queued" else queued
        file = f"file inbox/{queued:%d}.txt"
        run = Run(name, agent, file, "New file", state, "sketch", queued, started, ended, reason)
        store.add_run(run)

    add("clerk-1a2b3c4d5e6f", "clerk", "done", at(days=2))
    add("scout-9f8e7d6c5b4a", "scout", "failed", at(days=1), "EngineError: the prompt is too long")
    add(WAITING, "clerk", "waiting", at(minutes=20), "write_file waits for approval")
    add(RUN, "clerk", "running", at(seconds=40))
    add("scout-2468ace02468", "scout", "queued", at(seconds=5))
    for days in (2, 1, 0):
        for number in range(3):
            entry = LedgerEntry(
                key=f"{RUN}/{days}/{number}",
                run=RUN,
                agent="clerk",
                model="sketch",
                device="cpu",
                at=at(days=days, minutes=30 * number, seconds=30),
                prompt_tokens=4000 * (number + 1),
                cached_tokens=900,
                output_tokens=300,
                canvases=2,
                denoising_steps=19,
                prefill_seconds=1.0,
                denoising_seconds=9.0,
                joules=450.0,
                energy="measured",
            )
            store.ledger.add(entry)
    call = {"path": "out/list.txt", "text": "The Paper Kite 12.00\nBrandt 9.00\nAda 1.20\n"}
    store.add_messages(WAITING, [StoredMessage(0, "user", "New file: inbox/20.txt")])
    store.inbox.add(
        f"{WAITING}/0/0",
        0,
        "approval",
        call_text("write_file", call),
        run=WAITING,
        agent="clerk",
        reason="write_file needs a person's approval",
        arguments=call,
        at=at(minutes=20),
    )
    store.inbox.add(
        f"{WAITING}/0/1",
        0,
        "question",
        "Which year is the invoice of Brandt from?",
        run=WAITING,
        agent="clerk",
        reason="the agent asks",
        arguments={},
        at=at(minutes=19),
    )
    remember = store.memory.remember
    remember("Brandt pays late.", source="inbox/18.txt", at=at(days=2), agent="clerk")
    bees = remember("Ada keeps bees.", source="the person", at=at(days=1))
    remember("Ada keeps wasps.", source="the person", at=at(hours=1), supersedes=[bees.id])
    store.memory.blocks.put("person", "Is called Ada.", at=at(hours=2))
    store.memory.blocks.put("task", "File the invoices.", at=at(hours=1), agent="clerk")
    plan = JobPlan(
        schema={"type": "object"},
        schema_digest="0",
        model="sketch",
        weights="0",
        instructions="",
        seed=1,
        merge=None,
        batch=4,
        folder=FOLDER,
        output=f"{FOLDER}/invoices.jsonl",
    )
    run = Run(JOB, "extract", "job", "", "queued", "sketch", at(hours=5))
    store.jobs.add(run, plan, ["a.pdf", "b.pdf", "c.pdf", "d.pdf"])
    read = JobDocument(
        0, "a.pdf", "done", value={"total": 12.5}, confidence={"/total": 0.61}, spans={}
    )
    broken = JobDocument(1, "b.pdf", "failed", error="the file is no PDF")
    store.jobs.keep(JOB, [read, broken], extracted=[], entries=[], at=at(hours=4))


def happened() -> list[dict[str, Any]]:
    """The events of a run that writes its first canvas, and two lines of the log."""
    draft = {"canvas": 1, "step": 5, "length": 64, "known": 5}
    draft |= {"pieces": list(PIECES), "sure": list(SURE)}
    told: list[tuple[str, str | None, dict[str, Any]]] = [
        ("log", None, {"level": "info", "text": f"{FOLDER} is up: clerk, scout"}),
        ("run", RUN, {"state": "running"}),
        ("turn", RUN, {"number": 1}),
        ("call", RUN, {"text": 'read_file({"path": "inbox/20.txt"})'}),
        ("result", RUN, {"ok": True, "text": "The Paper Kite\nTotal 12.00"}),
        ("log", RUN, {"level": "warning", "text": "90% of clerk's tokens of the day are spent"}),
        ("turn", RUN, {"number": 2}),
        ("draft", RUN, draft),
    ]
    return [
        {
            "id": number,
            "at": (NOW - timedelta(seconds=10 - number)).isoformat(),
            "kind": kind,
            "run": run,
            "agent": None if run is None else "clerk",
            "data": data,
        }
        for number, (kind, run, data) in enumerate(told, 1)
    ]


class Still:
    """A control of the scene: it answers as the runtime does, and nothing happens any more. What it
    is asked to change is only written down."""

    def __init__(self, routes: ASGIApp) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        headers = {"Authorization": f"Bearer {TOKEN}"}
        transport = httpx.ASGITransport(routes)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://scene", headers=headers
        )

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self._client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return found | {"folder": FOLDER} if path == "/v1/home" else found

    async def post(self, path: str, **body: Any) -> Any:
        self.asked.append((path, body))
        return {}

    async def delete(self, path: str) -> Any:
        self.asked.append((f"DELETE {path}", {}))
        return {}

    async def events(self, lost: Callable[[str], None]) -> AsyncIterator[dict[str, Any]]:
        lost("")
        for event in happened():
            yield event
        await asyncio.Event().wait()
