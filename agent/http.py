"""Small things of every HTTP server of ours: the thread it runs on, the token it asks for, and how
much it reads."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
import threading
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import ListenError

CLOSING_SECONDS = 2
KEPT_SECONDS = 30
"""How long a connection is kept for another request: longer than clients do (5 s is usual), so that
none is closed just when it is used again."""
MOST_AT_ONCE = 64


class HttpServer:
    """uvicorn on a thread, from the start until `close`; with port 0 the system chooses one.

    Raises:
        ListenError: the address cannot be listened on.
    """

    def __init__(
        self,
        application: ASGIApp,
        host: str,
        port: int,
        *,
        what: str,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            reason = error.strerror or error
            raise ListenError(f"{host}:{port}: cannot listen for {what}: {reason}") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                limit_concurrency=most_at_once,
                timeout_keep_alive=KEPT_SECONDS,
                timeout_graceful_shutdown=CLOSING_SECONDS,
                lifespan="off",
            )
        )
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([self._socket],), name=what, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._socket.close()


def token_in(file: Path) -> str:
    """The token of the file, which is made where there is none; only the user can read it."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return file.read_text(encoding="ascii").strip()
    with open(descriptor, "w", encoding="ascii") as opened:
        token = secrets.token_urlsafe(32)
        opened.write(f"{token}\n")
    return token


class Guard:
    """Lets through requests with `Authorization: Bearer TOKEN`, and tells others nothing."""

    def __init__(self, application: ASGIApp, token: str) -> None:
        self._application = application
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(shown, self._wanted):
                refusal = JSONResponse({"error": "a token is needed"}, 401)
                return await refusal(scope, receive, send)
        return await self._application(scope, receive, send)


class BodyError(Exception):
    """A body is not read to its end: the status that says so, and a reason."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


async def body_of(request: Request, *, limit: int, seconds: float) -> bytes:
    """The whole body, or `BodyError` as soon as it is seen to be too large, or takes too long."""
    try:
        async with asyncio.timeout(seconds):
            return await _body_of(request, limit)
    except TimeoutError:
        raise BodyError(408, f"the body took over {seconds:g} seconds") from None


async def _body_of(request: Request, limit: int) -> bytes:
    too_large = BodyError(413, f"the body is larger than {limit:,} bytes")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
