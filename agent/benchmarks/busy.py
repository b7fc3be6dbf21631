"""A stand-in for the control API of a runtime with much to do, in a process of its own:
`python -m gesso.agent.benchmarks.busy STATE [--rate 200]`.

50 agents, 1,000 queued runs, and events of which most are drafts of canvases. It is found as a
runtime is, by its folder of state, until it is terminated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..control.server import ADDRESS, TOKEN
from ..http import Guard, HttpServer, token_in
from ..instance import held

AGENTS = 50
QUEUED = 1000
EVENTS_PER_SECOND = 200.0
WORDS = ("{", '"', "company", ":", " ", "The", "Paper", "Kite", "total", "49.49", "}")


class Busy:
    """Answers as a runtime with much to do would."""

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._number = 0

    def application(self) -> Starlette:
        routes = [Route("/v1/events", self._stream), Route("/{path:path}", self._answer)]
        return Starlette(routes=routes)

    async def _answer(self, request: Request) -> Response:
        return JSONResponse(self.told(request.url.path, int(request.query_params.get("limit", 50))))

    def told(self, path: str, limit: int) -> Any:
        at = datetime.now(UTC).isoformat()
        if path == "/v1/home":
            rate = {"now": 812.0, "today": 790.0, "sustained": 640.0}
            agents = [self._agent(number, at) for number in range(AGENTS)]
            runs = {"running": AGENTS, "queued": QUEUED, "done": 12_345}
            home = {"folder": "/srv/busy", "agents": agents, "runs": runs, "inbox": 3}
            today = {"currency": "USD", "hours": [0.01] * 12}
            return home | {"throughput": rate, "today": today}
        if path == "/v1/runs":
            return [self._run(number, at) for number in range(limit)]
        if path.startswith("/v1/runs/"):
            return {"run": self._run(0, at), "turns": []}
        if path == "/v1/cost":
            bill = {"name": "a cloud model", "cost": 1.0}
            work = {"prompt_tokens": 10, "output_tokens": 10}
            report = {
                "total": {"local": {"total": 0.5}, "bills": [bill], "work": work},
                "terms": {"currency": "USD", "electricity": 0.3},
                "series": {"days": [at[:10]], "sums": {"here": [0.5], "a cloud model": [1.0]}},
            }
            return report | {"machines": ["laptop"], "verdicts": [], "notes": []}
        return []

    async def _stream(self, _: Request) -> Response:
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        start, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - start) * self._rate)
            lines = []
            while sent < due:
                sent += 1
                lines.append(f"data: {json.dumps(self.event())}\n\n")
            yield "".join(lines) or ": here\n\n"
            await asyncio.sleep(0.02)

    def event(self) -> dict[str, Any]:
        self._number += 1
        number = self._random.randrange(AGENTS)
        # Runs end, and others begin.
        run = f"agent-{number}-{self._number // 4000}"
        event = {"id": self._number, "at": datetime.now(UTC).isoformat(), "run": run}
        event["agent"] = f"agent-{number}"
        if self._number % 4 == 0:
            data = {"level": "info", "text": f"{run} does something again"}
            return event | {"kind": "log", "data": data}
        if self._number % 10 == 1:
            usage = {"prompt_tokens": 400, "output_tokens": 60, "denoising_steps": 9}
            usage |= {"prefill_seconds": 0.1, "denoising_seconds": 0.5}
            return event | {"kind": "usage", "data": usage}
        if self._number % 50 == 2:
            return event | {"kind": "run", "data": {"state": "queued"}}
        count = self._random.randint(20, 256)
        data = {
            "canvas": 1,
            "step": self._number % 16,
            "length": 256,
            "known": count // 3,
            "pieces": self._random.choices(WORDS, k=count),
            "sure": [round(self._random.random(), 3) for _ in range(count)],
        }
        return event | {"kind": "draft", "data": data}

    def _agent(self, number: int, at: str) -> Any:
        run = self._run(number, at)
        agent = {"name": f"agent-{number}", "description": "", "model": "m", "queued": 20}
        triggers = [{"name": "every 15m", "next": at}]
        return agent | {"triggers": triggers, "running": [run], "last": run}

    def _run(self, number: int, at: str) -> Any:
        run = {"id": f"agent-{number}-0", "agent": f"agent-{number}", "state": "running"}
        run |= {"trigger": "file inbox/a.txt", "input": "New file: inbox/a.txt", "reason": None}
        return run | {"queued": at, "ended": None}


def main() -> None:
    """Parse the command line and answer."""
    parser = argparse.ArgumentParser(description="A stand-in for a busy runtime.")
    parser.add_argument("state", type=Path)
    parser.add_argument("--rate", type=float, default=EVENTS_PER_SECOND)
    options = parser.parse_args()
    state: Path = options.state
    api = Guard(Busy(1, options.rate).application(), token_in(state / TOKEN))
    with held(state):
        server = HttpServer(api, "127.0.0.1", 0, what="control")
        address = {"url": server.url, "pid": os.getpid()}
        (state / ADDRESS).write_text(json.dumps(address))
        signal.sigwait([signal.SIGTERM, signal.SIGINT])
        os._exit(0)  # whoever listens to its stream would hold it up


if __name__ == "__main__":
    main()
