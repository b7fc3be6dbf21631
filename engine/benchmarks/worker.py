"""A process in which one engine judges schemas, replaced when a schema takes it down.

Engines panic, overflow their stack, run out of memory and hang. Each of these costs the one schema
that caused it, and is told apart from a refusal by its reason.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ..errors import EngineError
from .judges import JUDGES, Judge, RefusalError

_START_SECONDS = 120.0
_MEMORY_BYTES = 8 << 30
"""Address space of a worker: a runaway compilation is to fail, not the machine."""


@dataclass(frozen=True)
class Case:
    """A schema and the texts to be judged, each with whether it is valid."""

    name: str
    schema: Any
    texts: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Verdict:
    """What one engine made of one case; `milliseconds` is `None` where it did not compile, and
    `reason` then says why. `wrong` holds the indices of texts that were judged wrongly."""

    name: str
    milliseconds: float | None = None
    reason: str = ""
    pointer: str = ""
    keyword: str | None = None
    notes: tuple[str, ...] = ()
    wrong: tuple[int, ...] = ()


class Worker:
    """A process with one engine in it, started when it is first needed.

    Use it as a context manager; the process ends with it.
    """

    def __init__(self, engine: str, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def judge(self, case: Case) -> Verdict:
        """The engine's verdict; a crash or `seconds` without an answer count as not compiled.

        Raises:
            EngineError: the engine cannot be loaded at all.
        """
        pipe = self._pipe or self._start()
        try:
            pipe.send(case)
            if pipe.poll(self._seconds):
                return pipe.recv()
            reason = f"no answer within {self._seconds:g} s"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            reason = "the process died"
        self._stop()
        return Verdict(case.name, reason=reason)

    def _start(self) -> Connection:
        context = get_context("spawn")  # a fork would share an engine's threads and their locks
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(self._engine, theirs), daemon=True)
        self._process.start()
        theirs.close()
        problem = "it did not start"
        if self._pipe.poll(_START_SECONDS):
            try:
                problem = self._pipe.recv()
            except EOFError:
                problem = "it died while it was loaded"
        if problem:
            self._stop()
            raise EngineError(f"{self._engine} cannot be measured: {problem}")
        return self._pipe

    def _stop(self) -> None:
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def judge_with(judge: Judge, case: Case) -> Verdict:
    """One engine's verdict on one case, in this process."""
    try:
        language = judge(case.schema)
    except RefusalError as error:
        return Verdict(case.name, None, str(error), error.pointer, error.keyword)
    except Exception as error:  # engines raise what they like: each is a refusal of this schema
        return Verdict(case.name, reason=f"{type(error).__name__}: {error}")
    wrong = [
        index
        for index, (text, valid) in enumerate(case.texts)
        if language.accepts(text) is not valid
    ]
    return Verdict(case.name, language.milliseconds, notes=language.notes, wrong=tuple(wrong))


def _work(engine: str, pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    os.environ["XDG_CACHE_HOME"] = os.devnull  # nothing was compiled by an earlier run
    try:
        judge = JUDGES[engine]()
    except ImportError as error:
        pipe.send(f"{error}; pip install 'gesso[test]'")
        return
    pipe.send("")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # engines log every refusal
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(judge_with(judge, case))
