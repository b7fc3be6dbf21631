"""Durable work: a body that a kill cannot stop half-way, and the queue in front of it.

The only file that knows dbos. A *work* is one execution of the body, named by an id that is
given once; its *steps* are checkpointed, and a work that died runs the body again with the
results of its finished steps. A step that was cut short runs again (at least once).

dbos keeps one instance a process, so a process has one open `Journal` at a time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
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

from ..memory import use_wal
from .errors import RunError
from .slot import Slot

# Raise it when the loop's steps, or what they give back, change: a work is only continued by its
# own version.
VERSION = "3"
QUEUE = "runs"
POLL_SECONDS = 0.2
WAIT_SECONDS = 0.02  # somebody looks on
RETRIES = 8
TIDIED = 500  # works at once: it is one transaction
LOCK_SECONDS = 30

Body = Callable[["Journal", dict[str, Any]], Any]


Fate = Literal["unknown", "under way", "done", "broken"]
"""`broken` is also a work of another version, which is never continued."""


class Interrupted(BaseException):
    """The journal is closing. Not an `Exception`: the work stays unfinished and is continued."""


class Journal:
    """Works on one SQLite file in `folder`. With `listen`, queued works are carried out here, at
    most `concurrency` at once."""

    _one = threading.Lock()

    def __init__(self, folder: Path, body: Body, *, listen: bool, concurrency: int = 1) -> None:
        if not self._one.acquire(blocking=False):
            raise RunError("this process has an open runtime already; close it first")
        self._closing = threading.Event()
        self._active = 0
        self._idle = threading.Condition()
        self._slot = Slot(folder)
        path = folder / "durable.db"

        def work(payload: dict[str, Any]) -> Any:
            with self._counted():
                return body(self, payload)

        try:
            use_wal(path, LOCK_SECONDS)
            logging.getLogger("dbos").addHandler(logging.NullHandler())
            self._work = DBOS.workflow(name="work", max_recovery_attempts=None)(work)
            DBOS(config=_config(path, self._slot.name))
            DBOS.listen_queues([QUEUE] if listen else [])
            DBOS.launch()
            DBOS.register_queue(
                QUEUE,
                worker_concurrency=concurrency,
                partition_worker_concurrency=1,
                polling_interval_sec=POLL_SECONDS,
                on_conflict="always_update",
            )
            for name in self._slot.abandoned():
                DBOS._recover_pending_workflows([name])
        except (sqlite3.Error, error.DBOSException) as problem:
            self.close()
            raise RunError(f"{path}: cannot be opened: {problem}") from problem
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
        retry: type[Exception] | None = None,
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
        DBOS.destroy(destroy_registry=True)
        self._slot.release()
        self._one.release()

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


def _config(path: Path, executor: str) -> DBOSConfig:
    return {
        "name": "gesso",
        "system_database_url": f"sqlite:///{path}",
        "application_version": VERSION,
        "executor_id": executor,
        "serializer": DBOSPortableJSONSerializer(),
        "enable_otlp": False,
        "log_level": "WARNING",
        "notification_listener_polling_interval_sec": POLL_SECONDS,  # closing waits for it
    }
