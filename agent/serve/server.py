"""The server from its start to its end."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from ...engine import Engine, Usage
from ...memory import LedgerEntry, Run, Store, StoreError
from ..http import HttpServer
from .application import application
from .keys import Keys
from .queue import Queue

log = logging.getLogger("gesso")

AGENT = "serve"
"""Whose the entries in the ledger are, that no agent began."""
SPARE = 256
"""Connections beyond the places: kept ones, and whoever finds no place and is told so."""


@dataclass(frozen=True)
class Limits:
    """How many requests are written at once, how many more wait, and the most tokens of one."""

    side_by_side: int
    waiting: int
    tokens: int


@contextmanager
def serving(
    engine: Engine,
    *,
    host: str,
    port: int,
    keys: Keys,
    limits: Limits,
    store: Store | None = None,
) -> Iterator[str]:
    """Serve an engine; where. At the end, what is being written is, and what waits is refused. With
    a store, every turn is in its ledger.

    Raises:
        ServeError: others could reach the address, and there is no key.
        ListenError: the address cannot be listened on.
    """
    keys.check_host(host)
    engine.scheduler.side_by_side = limits.side_by_side
    queue = Queue(
        engine,
        most_waiting=limits.waiting,
        ended=None if store is None else _accountant(store, engine),
    )
    try:
        api = application(queue, keys, limits.tokens)
        most = limits.side_by_side + limits.waiting + SPARE
        server = HttpServer(api, host, port, what="requests", most_at_once=most)
    except BaseException:
        queue.close()
        raise
    try:
        yield server.url
    finally:
        queue.close()
        server.close()


def _accountant(store: Store, engine: Engine) -> Callable[[Usage], None]:
    """Writes the entries of one run, which is there for them alone."""
    now = datetime.now(UTC)
    run = Run(
        id=f"{AGENT}-{uuid.uuid4().hex[:12]}",
        agent=AGENT,
        trigger="http",
        input="",
        state="done",
        model=engine.name,
        queued=now,
        started=now,
        ended=now,
    )
    store.add_run(run)

    def account(usage: Usage) -> None:
        entry = LedgerEntry(
            key=uuid.uuid4().hex,
            run=run.id,
            agent=AGENT,
            model=engine.name,
            device=engine.device,
            at=datetime.now(UTC),
            **asdict(usage),
        )
        try:
            store.ledger.add(entry)
        except StoreError as error:
            log.error("a turn is not in the ledger: %s", error)

    return account
