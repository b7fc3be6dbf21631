"""The log: lines for people, or one JSON object a line; each names the run it was written in.

A record's run and agent are those of the work that its thread carries out. Whatever a message holds
(a file's name, a webhook's text), it stays one line and cannot pass for another.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from ..tools import Redactor, SecretError, read_secrets
from .events import Events

log = logging.getLogger("gesso")

STYLES = {"debug": "dim", "warning": "yellow", "error": "bold red", "critical": "bold red"}

_work: ContextVar[tuple[str, str] | None] = ContextVar("work", default=None)


@contextmanager
def in_run(run: str, agent: str) -> Iterator[None]:
    """What is logged inside, by this thread, is of this run."""
    token = _work.set((run, agent))
    try:
        yield
    finally:
        _work.reset(token)


def current_run() -> tuple[str, str] | None:
    """The run that this thread carries out, and its agent."""
    return _work.get()


class EventsHandler(logging.Handler):
    """Publishes records as events, for whoever looks on."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.INFO)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _, level, run, agent, message, _ = _parts(record)
            self._events.publish("log", run=run, agent=agent, level=level, text=message)
        except Exception:
            self.handleError(record)


class TextHandler(logging.Handler):
    """Time, level, run and message on standard error, in colour where that is a terminal. Only a
    traceback takes more lines, and they are indented."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            time, level, run, _, message, exception = _parts(record)
            style = STYLES.get(level, "")
            line = Text.assemble(
                (f"{time:%Y-%m-%d %H:%M:%S} ", "dim"),
                (f"{level:<7} ", style),
                (f"{run} " if run else "", "cyan"),
                (one_line(message), style),
            )
            for more in (exception or "").splitlines():
                line.append(f"\n    {one_line(more)}", "dim")
            self._console.print(line)
        except Exception:
            self.handleError(record)


class JsonHandler(logging.Handler):
    """One object a line on standard output: `time` (ISO 8601, with its zone), `level`, `run`,
    `agent`, `message`, `exception`; what a record has not is null."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            time, level, run, agent, message, exception = _parts(record)
            row = {"time": time.isoformat(timespec="milliseconds"), "level": level, "run": run}
            row |= {"agent": agent, "message": message, "exception": exception}
            # in ASCII: whatever the terminal's encoding, and half a surrogate in a file's name
            print(json.dumps(row), flush=True)
        except Exception:
            self.handleError(record)


def start(level: int, form: Literal["text", "json"] = "text") -> logging.Handler:
    """Log our own records from `level` on, and the libraries' warnings."""
    handler = JsonHandler() if form == "json" else TextHandler()
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    log.setLevel(level)
    return handler


@contextmanager
def published(events: Events, redactor: Redactor) -> Iterator[None]:
    """What is logged inside is published too, without secrets."""
    handler = EventsHandler(events)
    handler.addFilter(redactor)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def redactor_of(names: Iterable[str], file: Path) -> Redactor:
    """Blanks the named secrets as they are now. One that cannot be read is told of in the log: it
    may be put in its place later, and the call that needs it says so until then."""
    values: dict[str, str] = {}
    for name in sorted(set(names)):
        try:
            values |= read_secrets([name], environment=os.environ, file=file)
        except SecretError as error:
            log.warning("%s", error)
    return Redactor(values)


def _parts(
    record: logging.LogRecord,
) -> tuple[datetime, str, str | None, str | None, str, str | None]:
    run, agent = current_run() or (None, None)
    message = record.getMessage()
    exception = record.exc_text  # a redactor has been here
    if exception is None and record.exc_info:
        exception = logging.Formatter().formatException(record.exc_info)
    time = datetime.fromtimestamp(record.created).astimezone()
    return time, record.levelname.lower(), run, agent, message, exception


def one_line(text: str) -> str:
    """Control characters as their escapes: no line can be forged or redrawn by what it shows."""
    return "".join(
        sign if sign.isprintable() or sign == " " else sign.encode("unicode_escape").decode()
        for sign in text
    )
