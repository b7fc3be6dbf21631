"""Durable work: a body that a kill cannot stop half-way, and the queue in front of it.

The only file that knows dbos. A *work* is one execution of the body, named by an id that is
given once; its *steps* are checkpointed, and a work that died runs the body again with the
results of its finished steps. A step that was cut short runs again (at least once).

dbos keeps one instance a process, so a process has one open `Journal` at a time. In PostgreSQL any
number of them share the queue, and what one that died has left goes on with the others.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    SetEnqueueOptions,
    SetWorkflowID,
    error,
)
from sqlalchemy.exc import DBAPIError

from ..memory import Presence, use_wal
from .errors import RunError
from .slot import Slot

log = logging.getLogger("gesso")

# Raise it when the loop's steps, or what they give back, change: a work is only continued by its
# own version.
VERSION = "3"
QUEUE = "runs"
POLL_SECONDS = 0.2
WAIT_SECONDS = 0.02  # somebody looks on
RETRIES = 8
TIDIED = 500  # works at once: it is one transaction
LOCK_SECONDS = 30
LOOK_SECONDS = 1.0
"""How often a journal in PostgreSQL looks for others that died."""
GRACE_SECONDS = 5.0
"""How long another one is missed before its works are taken over: a server that was started again
has lost the sessions of all, who come back within a look."""

Body = Callable[["Journal", dict[str, Any]], Any]

Passing = type[Exception] | tuple[type[Exception], ...]

Fate = Literal["unknown", "under way", "done", "broken"]
"""`broken` is also a work of another version, which is never continued."""


class Interrupted(BaseException):
    """The journal is closing. Not an `Exception`: the work stays unfinished and is continued."""


class Journal:
    """Works on one SQLite file in `folder`, or in the PostgreSQL `database`. With `listen`, queued
    works are carried out here, at most `concurrency` at once."""

    _one = threading.Lock()

    def __init__(
        self,
        folder: Path,
        body: Body,
        *,
        listen: bool,
        concurrency: int = 1,
        database: str | None = None,
    ) -> None:
        if not self._one.acquire(blocking=False):
            raise RunError("this process has an open runtime already; close it first")
        self._closing = threading.Event()
        self._active = 0
        self._idle = threading.Condition()
        self._alive: Slot | Presence = Slot(folder) if database is None else Presence(database)
        self._missed: dict[str, float] = {}  # who, and since when
        self._looking: threading.Thread | None = None
        path = folder / "durable.db"

        def work(payload: dict[str, Any]) -> Any:
            with self._counted():
                return body(self, payload)

        try:
            if isinstance(self._alive, Presence):
                self._alive.hold()  # before it has a work that others could miss it for
            else:
                use_wal(path, LOCK_SECONDS)
            logging.getLogger("dbos").addHandler(logging.NullHandler())
            self._work = DBOS.workflow(name="work", max_recovery_attempts=None)(work)
            DBOS(config=_config(database or f"sqlite:///{path}", self._alive.name))
            DBOS.listen_queues([QUEUE] if listen else [])
            DBOS.launch()
            DBOS.register_queue(
                QUEUE,
                worker_concurrency=concurrency,
                partition_concurrency=1,
                polling_interval_sec=POLL_SECONDS,
                on_conflict="always_update",
            )
            if isinstance(self._alive, Slot):
                for name in self._alive.abandoned():
                    DBOS._recover_pending_workflows([name])
            elif listen:
                self._looking = threading.Thread(target=self._look, name="journal", daemon=True)
                self._looking.start()
        except (sqlite3.Error, DBAPIError, error.DBOSException) as problem:
            self.close()
            where = path if database is None else "the database"
            raise RunError(f"{where}: cannot be opened: {problem}") from problem
        except BaseException:
            self.close()
            raise

    def start(self, name: str, payload: dict[str, Any]) -> None:
        """Begin a work here and now, once; a name already known is left alone."""
        with SetWorkflowID(name):
            DBOS.start_workflow(self._work, payload)

    def enqueue(
        self, name: str, payload: dict[str, Any], *, lane: str = "", priority: int = 1
    ) -> None:
        """Queue a work for whoever listens, once; a name already known is left alone. Of one lane
        one work is under way at a time; a lower number goes first."""
        options = SetEnqueueOptions(queue_partition_key=lane or name, priority=priority)
        with SetWorkflowID(name), options:
            DBOS.enqueue_workflow(QUEUE, self._work, payload)

    def wait(self, name: str) -> None:
        """Return when the work is done."""
        try:
            DBOS.retrieve_workflow(name).get_result(polling_interval_sec=WAIT_SECONDS)
        except Exception as problem:
            raise RunError(f"run {name}: {problem}") from problem

    def fate(self, name: str) -> Fate:
        """What has become of a work."""
        found = DBOS.get_workflow_status(name)
        if found is None:
            return "unknown"
        if found.status == "SUCCESS":
            return "done"
        lost = found.status not in ("ENQUEUED", "DELAYED", "PENDING")
        return "broken" if lost or found.app_version not in (None, VERSION) else "under way"

    def give_up(self, name: str) -> None:
        """Let go of a work that nobody continues: others of its lane wait for it."""
        if self.fate(name) == "broken":
            DBOS.cancel_workflow(name)

    def tidy(self, before: datetime) -> int:
        """Forget the works that were done by then, and how far they had come; their number."""
        done = DBOS.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            completed_before=before.isoformat(),
            limit=TIDIED,
            load_input=False,
            load_output=False,
        )
        DBOS.delete_workflows([work.workflow_id for work in done])
        return len(done)

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *arguments: Any,
        retry: Passing | None = None,
    ) -> Any:
        """The function's result, which is JSON: from the checkpoint where the step is done."""
        if self._closing.is_set():
            raise Interrupted
        if retry is None:
            return DBOS.run_step({"name": name}, function, *arguments)
        return DBOS.run_step(
            {
                "name": name,
                "retries_allowed": True,
                "max_attempts": RETRIES,
                "should_retry": lambda problem: isinstance(problem, retry),
            },
            function,
            *arguments,
        )

    def close(self) -> None:
        """Stop after the steps that are running now; what is unfinished is continued by the
        next journal."""
        self._closing.set()
        with self._idle:
            while self._active:
                self._idle.wait(POLL_SECONDS)  # in slices, so that Ctrl-C is heard
        if self._looking is not None:
            self._looking.join()
        DBOS.destroy(destroy_registry=True)
        self._alive.release()
        self._one.release()

    def _look(self) -> None:
        """Stay known to be alive, and queue again what others have left who are no more."""
        assert isinstance(self._alive, Presence)
        while not self._closing.wait(LOOK_SECONDS):
            try:
                if not self._alive.hold():
                    self._missed.clear()  # nobody can tell who was there meanwhile
                    continue
                for name in self._gone(self._alive):
                    log.warning("%s is gone: its runs go on here or elsewhere", name)
                    DBOS._recover_pending_workflows([name])
            except Exception as problem:
                log.error("runs of other workers are not looked after: %s", problem)

    def _gone(self, alive: Presence) -> list[str]:
        """Those with works under way who have been missed for long enough."""
        works = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        absent = alive.absent({work.executor_id for work in works if work.executor_id is not None})
        now = time.monotonic()
        self._missed = {name: self._missed.get(name, now) for name in absent}
        return [name for name, since in self._missed.items() if now - since > GRACE_SECONDS]

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            if self._closing.is_set():
                raise Interrupted
            self._active += 1
        try:
            yield
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()


def _config(database: str, executor: str) -> DBOSConfig:
    return {
        "name": "gesso",
        "system_database_url": database,
        "application_version": VERSION,
        "executor_id": executor,
        "serializer": DBOSPortableJSONSerializer(),
        "enable_otlp": False,
        "log_level": "WARNING",
        "notification_listener_polling_interval_sec": POLL_SECONDS,  # closing waits for it
    }
