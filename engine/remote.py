"""A model behind an OpenAI-compatible address, with the face of an engine: vLLM, SGLang, llama.cpp,
Ollama, `gesso serve`, or a cloud's API.

The server may hold an answer to a schema or to tools, or may not: an answer is taken only when it
is valid here. One that is not is sent back with what is wrong, and every try that was paid for is
in the usage.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import httpx

from .constraint import ToolConstraint, tools
from .engine import Engine
from .errors import AnswerError, ContextError, EngineError, RequestError, ServerError
from .request import Request, Result, ToolCall, Usage
from .wire import Answer, Manner, again, arguments_of, compact, payload, read, unfenced

log = logging.getLogger("gesso")

TRIES = 3
"""Answers to one request, before it is given up."""
ATTEMPTS = 5
"""Times that a server which is busy or gone is asked for one answer."""
WAIT_SECONDS = 1.0
"""Before the second attempt; twice as long before each that follows."""
LONGEST_WAIT = 60.0
"""Seconds; a server that wants to be left alone for longer is told of instead."""
TIMEOUT = httpx.Timeout(10.0, read=600.0)
AT_ONCE = 8
"""Requests of one batch that are under way together: servers batch them."""
CONTEXT_LENGTH = 8192
"""Tokens, where neither server nor settings say."""
BYTES_PER_TOKEN = 3.0
"""Of a prompt: fewer than any tokenizer makes of English, so that what fits by it fits."""
TOKENS_PER_IMAGE = 1500
"""Of a prompt: Gemma takes 280 for a page, GPT-4o 1,105 for the largest."""

_BUSY = (408, 425, 429, 502, 503, 504, 529)
_OF_A_PART = re.compile(r"tool|schema|grammar|response_format|jinja", re.IGNORECASE)
"""What a server names that fails (500) over a part of a request: it will next time, too."""
_TOO_LONG = (
    "context length",
    "context window",
    "context size",
    "context_length",
    "too many tokens",
)


class RemoteEngine:
    """The model of that name at `url` (`http://localhost:8000/v1`).

    `context_length` is prompt and answer together, in tokens, and `sees` whether a request may have
    images; without them the server is asked.
    """

    device = "remote"
    """Whose hardware and energy are not this machine's."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        context_length: int | None = None,
        sees: bool | None = None,
    ) -> None:
        self.name = model
        self._url = url.rstrip("/")
        self._given_length, self._given_sight = context_length, sees
        self._manner = Manner()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # A connection that was kept is often found dead: turns are far apart.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT, limits=limits)

    @cached_property
    def sees(self) -> bool:
        """Whether a request may have images, in OpenRouter's words, which are ours, or llama.cpp's;
        not where the server says nothing."""
        if self._given_sight is not None:
            return self._given_sight
        for one in self._models():
            if one.get("id") == self.name:
                architecture = one.get("architecture") or {}
                told = [
                    *(architecture.get("input_modalities") or ()),
                    *(one.get("capabilities") or ()),
                ]
                return "image" in told or "multimodal" in told
        return False

    @property
    def digest(self) -> str:
        """Names address and model: what is behind them is not to be seen from here."""
        return hashlib.sha256(f"{self._url}#{self.name}".encode()).hexdigest()

    @cached_property
    def context_length(self) -> int:
        """Prompt and answer together, in tokens."""
        if self._given_length is not None:
            return self._given_length
        for one in self._models():
            if one.get("id") == self.name:
                meta = one.get("meta") or {}  # llama.cpp's
                for known in (
                    one.get("max_model_len"),
                    one.get("context_length"),
                    meta.get("n_ctx"),
                ):
                    if isinstance(known, int) and known > 0:
                        return known
        log.info(
            "%s does not say how much %s reads: %d tokens", self._url, self.name, CONTEXT_LENGTH
        )
        return CONTEXT_LENGTH

    def prompt_tokens(self, request: Request) -> int:
        """How many tokens the request's prompt has, at most: the tokenizer is the server's."""
        images = sum(len(message.images) for message in request.messages)
        told = replace(request, messages=[replace(one, images=()) for one in request.messages])
        body = compact(payload(self.name, told, self._manner))
        return math.ceil(len(body.encode()) / BYTES_PER_TOKEN) + images * TOKENS_PER_IMAGE

    def generate(self, request: Request) -> Result:
        """Write one turn.

        Raises:
            RequestError: the server refuses the request, the key or the model.
            ContextError: the prompt is longer than the model reads.
            AnswerError: no answer was valid.
            ServerError: the server is busy, gone, or says what cannot be understood.
        """
        if request.tools and request.constraint is not None:
            raise RequestError("a request has either tools or a constraint, not both")
        held = _held(request)
        spent: list[Usage] = []
        asked, complaint = request, ""
        for _ in range(TRIES):
            answer = self._answer(asked, spent)
            try:
                result = _result(answer, request, held)
            except ValueError as error:
                complaint = str(error)
                asked = again(request, answer, complaint)
                continue
            return replace(result, usage=_sum(spent))
        raise AnswerError(f"{self.name}: {TRIES} answers, none valid: {complaint}", _sum(spent))

    def generate_batch(self, requests: Sequence[Request]) -> list[Result | EngineError]:
        """Write a turn for each request, several at a time; one that cannot be written has its
        error in its place."""

        def written(request: Request) -> Result | EngineError:
            try:
                return self.generate(request)
            except EngineError as error:
                return error

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="remote") as pool:
            return list(pool.map(written, requests))

    def _answer(self, request: Request, spent: list[Usage]) -> Answer:
        """One answer, in a manner that the server takes; its usage is added to what is spent."""
        while True:
            manner = self._manner
            began = time.perf_counter()
            response = self._post(payload(self.name, request, manner), spent)
            seconds = time.perf_counter() - began
            if response.is_success:
                break
            complaint = _complaint(response)
            self._refused(response, complaint)
            other = manner.without(request, complaint)
            if other is None:
                raise RequestError(f"{self._url} refuses the request: {complaint}")
            log.info("%s refuses a part of a request, which goes without: %s", self._url, complaint)
            self._manner = other
        try:
            answer = read(response.json(), request)
        except ValueError as error:
            raise ServerError(f"{self._url}: {error}", _sum(spent)) from None
        usage = answer.usage or Usage(
            prompt_tokens=self.prompt_tokens(request),
            output_tokens=math.ceil(len(answer.text.encode()) / BYTES_PER_TOKEN),
        )
        spent.append(replace(usage, denoising_seconds=seconds))
        return answer

    def _post(self, body: Any, spent: Sequence[Usage]) -> httpx.Response:
        """The server's answer; while it is busy or gone it is asked again, after a while."""
        wait, why = WAIT_SECONDS, ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._client.post(f"{self._url}/chat/completions", json=body)
                complaint = _complaint(response)
                failed = response.status_code == 500 and not _OF_A_PART.search(complaint)
                if response.status_code not in _BUSY and not failed:
                    return response
                why = f"status {response.status_code}: {complaint}"
                after = _retry_after(response)
            except httpx.HTTPError as error:
                why, after = f"{type(error).__name__}: {error}", None
            pause = wait if after is None else after
            if attempt == ATTEMPTS or pause > LONGEST_WAIT:
                break
            log.info("%s does not answer (%s): again in %.1f s", self._url, why, pause)
            time.sleep(pause)
            wait *= 2
        raise ServerError(f"{self._url} does not answer: {why}", _sum(spent))

    def _refused(self, response: httpx.Response, complaint: str) -> None:
        """Raise for what no other manner of asking mends."""
        if response.status_code in (401, 403):
            raise RequestError(
                f"{self._url} refuses the key ({complaint}): name the secret with its key under"
                " remote_keys in gesso.toml"
            )
        if response.status_code == 404:
            known = ", ".join(str(one.get("id")) for one in self._models())
            has = f"it has {known}" if known else "its address ends in /v1, usually"
            raise RequestError(f"{self._url} has no model {self.name} ({complaint}); {has}")
        if any(words in complaint.lower() for words in _TOO_LONG):
            raise ContextError(f"{self.name}: {complaint}")
        if response.status_code not in (400, 415, 422, 500, 501):
            raise RequestError(f"{self._url}: status {response.status_code}: {complaint}")

    def _models(self) -> list[dict[str, Any]]:
        """What the server says of its models; nothing where it does not say."""
        try:
            found = self._client.get(f"{self._url}/models", timeout=10).json()["data"]
            return [one for one in found if isinstance(one, dict)]
        except httpx.HTTPError as error:
            raise ServerError(f"{self._url} does not answer: {error}", Usage()) from None
        except (ValueError, KeyError, TypeError):
            return []


def _held(request: Request) -> ToolConstraint | None:
    if not request.tools:
        return None
    return tools(request.tools, choice=request.tool_choice, most=request.most_calls)


def _result(answer: Answer, request: Request, held: ToolConstraint | None) -> Result:
    """The turn that an answer is. Raises `ValueError` with what is wrong with it."""
    if answer.reason == "content_filter":
        raise ValueError("the server withheld it (content_filter)")
    if held is not None:
        calls = tuple(ToolCall(name, arguments_of(written)) for name, written in answer.calls)
        if complaint := _wrong(calls, request, held):
            raise ValueError(complaint)
        cut = answer.reason == "length" and not calls
        reason = "tool_calls" if calls else "length" if cut else "stop"
        return Result(answer.text, None, calls, finish_reason=reason, thought=answer.thought)
    if answer.reason == "length":
        return Result(answer.text, finish_reason="length", thought=answer.thought)
    if request.constraint is None:
        return Result(answer.text, thought=answer.thought)
    for text in (answer.text, unfenced(answer.text).strip()):
        complaint = request.constraint.complaint(text)
        if complaint is None:
            value = request.constraint.parse(text)
            return Result(text, value, thought=answer.thought)
    raise ValueError(complaint)


def _wrong(calls: Sequence[ToolCall], request: Request, held: ToolConstraint) -> str | None:
    """What is wrong with the calls of a turn."""
    choice, most = request.tool_choice, request.most_calls
    if choice == "none":
        return "no tool may be called now" if calls else None
    if choice == "required" and not calls:
        return "a tool has to be called"
    if choice not in ("auto", "required") and [call.name for call in calls] != [choice]:
        return f"{choice} has to be called, once, and nothing else"
    if most is not None and len(calls) > most:
        return f"{len(calls)} calls are more than {most}"
    return held.turns.complaint(calls)


def _complaint(response: httpx.Response) -> str:
    """The server's own words for what is wrong."""
    try:
        body = response.json()
    except ValueError:
        return response.text.strip()[:500] or response.reason_phrase
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or error
        code = error.get("code")
        return f"{said} ({code})" if isinstance(code, str) else str(said)[:500]
    return str(error)[:500]


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server wants to be left alone (RFC 9110, 10.2.3)."""
    told = response.headers.get("Retry-After")
    if told is None:
        return None
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _sum(usages: Sequence[Usage]) -> Usage:
    """What all tries took. Nothing is known of another machine's energy."""
    return Usage(
        prompt_tokens=sum(one.prompt_tokens for one in usages),
        cached_tokens=sum(one.cached_tokens for one in usages),
        output_tokens=sum(one.output_tokens for one in usages),
        canvases=sum(one.canvases for one in usages),
        denoising_steps=sum(one.denoising_steps for one in usages),
        denoising_seconds=sum(one.denoising_seconds for one in usages),
    )


AnyEngine = Engine | RemoteEngine
"""What writes turns, here or elsewhere."""
