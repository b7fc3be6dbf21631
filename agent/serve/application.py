"""The routes of the server, and how a request goes through them.

Who asks is checked before anything is read; what is read has a limit in bytes and in time; then it
waits for a place. Whoever hangs up gives the place back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ...engine import Commit, Engine, EngineError, Result
from ..http import BodyError, body_of
from .chat import CHAT
from .dialect import Dialect, openai_problem
from .fields import PATHS
from .keys import Keys
from .messages import MESSAGES, count, problem, read_count
from .queue import Queue
from .reading import Asked
from .refusal import Refusal, refusal_of
from .responses import RESPONSES

log = logging.getLogger("gesso")

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of the largest request."""
BODY_SECONDS = 20.0
SEND_SECONDS = 60.0
"""How long a client may take to take in the next piece of an answer."""

DIALECTS = (CHAT, RESPONSES, MESSAGES)


def application(queue: Queue, keys: Keys, most_tokens: int) -> Starlette:
    """The server of the queue's engine, whose answers have at most so many tokens."""
    engine, since = queue.engine, int(time.time())

    def generating(dialect: Dialect) -> Route:
        async def ask(request: Request) -> Response:
            client = keys.admit(request.headers)
            return Generation(queue, dialect, await _body(request), most_tokens, client)

        return Route(PATHS[dialect.api], ask, methods=["POST"])

    async def count_tokens(request: Request) -> Response:
        keys.admit(request.headers)
        asked = await run_in_threadpool(read_count, await _body(request), most_tokens)
        _known(engine, asked.model)
        try:
            tokens = await run_in_threadpool(engine.prompt_tokens, asked.request)
        except EngineError as error:
            raise _refusal(error, MESSAGES, asked) from None
        return JSONResponse(count(tokens))

    async def models(request: Request) -> Response:
        keys.admit(request.headers)
        if _is_messages(request.scope):
            mine = _model_for_messages(engine, since)
            ends = {"first_id": mine["id"], "last_id": mine["id"], "has_more": False}
            return JSONResponse({"data": [mine], **ends})
        return JSONResponse({"object": "list", "data": [_model(engine, since)]})

    async def model(request: Request) -> Response:
        keys.admit(request.headers)
        _known(engine, request.path_params["name"])
        told = _model_for_messages if _is_messages(request.scope) else _model
        return JSONResponse(told(engine, since))

    return Starlette(
        routes=[
            *map(generating, DIALECTS),
            Route(PATHS["count"], count_tokens, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
        ],
        exception_handlers={Refusal: _refused, HTTPException: _unrouted, Exception: _broken},
    )


class Generation(Response):
    """An answer that is still to be written, for as long as its client is there."""

    def __init__(
        self,
        queue: Queue,
        dialect: Dialect,
        fields: dict[str, Any],
        most_tokens: int,
        client: str,
    ) -> None:
        self._queue = queue
        self._dialect = dialect
        self._fields = fields
        self._most_tokens = most_tokens
        self._client = client
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patient(message: Any) -> None:
            self._begun = True
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(message)
            except (OSError, TimeoutError) as error:
                raise _GoneError(f"took nothing in: {type(error).__name__}") from None

        work = asyncio.create_task(self._answer(scope, receive, patient))
        gone = asyncio.create_task(_hung_up(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                task.cancel()
            ended = await asyncio.gather(work, gone, return_exceptions=True)
        if isinstance(ended[0], _GoneError):
            log.info("%s: a client %s", PATHS[self._dialect.api], ended[0])
        elif isinstance(ended[0], Exception):
            raise ended[0]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked: Asked | None = None
        try:
            place = self._queue.enter()
            try:
                asked = await place.prepare(self._dialect.read, self._fields, self._most_tokens)
                _known(self._queue.engine, asked.model)
                request = replace(asked.request, owner=self._client)
                plan = await place.prepare(self._queue.engine.prepare, request)
                async with aclosing(place.written(plan)) as told:
                    if asked.stream:
                        await self._stream(told, asked, send)
                        return
                    result = [one async for one in told][-1]
            finally:
                place.leave()
            assert isinstance(result, Result), "a turn's last word is its result"
            response = JSONResponse(self._dialect.answer(asked, result))
        except _GoneError:
            raise
        except Exception as error:
            response = _response(self._refusal(error, asked), self._dialect.problem)
        await response(scope, receive, send)

    def _refusal(self, error: Exception, asked: Asked | None) -> Refusal:
        if isinstance(error, Refusal):
            return error
        if isinstance(error, EngineError):
            return _refusal(error, self._dialect, asked)
        log.error("%s: failed", PATHS[self._dialect.api], exc_info=error)
        return Refusal(500, "broken", f"{type(error).__name__}: {error}")

    async def _stream(self, told: Any, asked: Asked, send: Send) -> None:
        telling = self._dialect.telling(asked)
        text = Text(self._queue.engine, asked)

        async def out(pieces: Any) -> None:
            if body := "".join(pieces).encode():
                await send({"type": "http.response.body", "body": body, "more_body": True})

        try:
            async for one in told:
                if isinstance(one, Commit):
                    if delta := text.add(one):
                        await out(telling.text(delta))
                elif isinstance(one, Result):
                    if rest := text.rest(one):
                        await out(telling.text(rest))
                    await out(telling.end(one))
                else:
                    await send(_START)
                    await out(telling.begin(one))
        except _GoneError:
            raise
        except Exception as error:
            if not self._begun:
                raise
            await out(telling.fail(self._refusal(error, asked)))
        await send({"type": "http.response.body", "body": b""})


class _GoneError(Exception):
    """Nobody takes the answer in."""


class Text:
    """The text of an answer as it grows by commits: only what no later one can change."""

    def __init__(self, engine: Engine, asked: Asked) -> None:
        self._engine = engine
        self._calls = bool(asked.request.tools)
        self._tokens: list[int] = []
        self._told = ""

    def add(self, commit: Commit) -> str:
        """What a commit adds: before any call, and no character that is not whole yet."""
        self._tokens += commit.tokens
        text = self._engine.tokenizer.decode(self._tokens)
        if self._calls:
            text = self._engine.template.calls.split(text)[0]
        return self._tell(text.rstrip("�"))

    def rest(self, result: Result) -> str:
        """What is left at the end."""
        return self._tell(result.text)

    def _tell(self, text: str) -> str:
        delta = text[len(self._told) :]
        self._told += delta
        return delta


_START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
    ],
}


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> dict[str, Any]:
    """The body's object. Raises `Refusal`."""
    try:
        body = await body_of(request, limit=BODY_LIMIT, seconds=BODY_SECONDS)
    except BodyError as error:
        kind = "large" if error.status == 413 else "request"
        raise Refusal(error.status, kind, error.what) from None
    try:
        value = _json(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "request", f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(400, "request", "the body is not an object of JSON")
    return value


def _json(body: bytes) -> Any:
    text = body.decode("utf-8")
    value = json.loads(text, parse_constant=_no_number)
    if "\\ud" in text.lower():  # half a pair is no text
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _no_number(spelled: str) -> Any:
    raise ValueError(f"{spelled} is no number of JSON")


def _known(engine: Engine, model: str) -> None:
    if model != engine.name:
        what = f"there is no model {model!r} here; there is {engine.name!r}"
        raise Refusal(404, "missing", what, param="model", code="model_not_found")


def _refusal(error: EngineError, dialect: Dialect, asked: Asked | None) -> Refusal:
    fields = {} if asked is None else asked.fields
    return refusal_of(
        error,
        schema="tools" if "tools" in fields else dialect.schema,
        messages=dialect.messages,
        tokens="max_tokens" if "max_tokens" in fields else dialect.tokens,
    )


def _model(engine: Engine, since: int) -> dict[str, Any]:
    return {
        "id": engine.name,
        "object": "model",
        "created": since,
        "owned_by": "gesso",
        "context_length": engine.context_length,
    }


def _model_for_messages(engine: Engine, since: int) -> dict[str, Any]:
    return {
        "type": "model",
        "id": engine.name,
        "display_name": engine.name,
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since)),
        "lifecycle": "active",
        "max_input_tokens": engine.context_length,
    }


def _is_messages(scope: Scope) -> bool:
    """Whether Anthropic's API is meant, also on a path that both have."""
    names = [name for name, _ in scope["headers"]]
    return scope["path"].startswith(PATHS["messages"]) or b"anthropic-version" in names


def _response(refusal: Refusal, told: Callable[[Refusal], dict[str, Any]]) -> JSONResponse:
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(told(refusal), refusal.status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _response(error, problem if _is_messages(request.scope) else openai_problem)


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = "missing" if error.status_code == 404 else "request"
    what = f"{request.method} {request.url.path}: {error.detail}"
    answer = await _refused(request, Refusal(error.status_code, kind, what))
    answer.headers.update(error.headers or {})
    return answer


async def _broken(request: Request, error: Exception) -> Response:
    log.error("%s: failed", request.url.path, exc_info=error)
    return await _refused(request, Refusal(500, "broken", type(error).__name__))
