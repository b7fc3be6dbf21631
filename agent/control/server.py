"""The control API on its port of this machine, and where a client finds it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import InstanceError
from ..http import HttpServer, token_in
from ..instance import running
from ..runtime import Runtime
from .api import application

log = logging.getLogger("gesso")

HOST = "127.0.0.1"
"""No other machine reaches it; another user of this one lacks the token."""
ADDRESS = "control.json"
TOKEN = "control-token"


@dataclass(frozen=True)
class Address:
    """Where a runtime is controlled, and with what token."""

    url: str
    token: str


@contextmanager
def controlled(runtime: Runtime, state: Path) -> Iterator[Address]:
    """Serve the control API of a runtime whose state is in this folder. Raises `ListenError`."""
    token = token_in(state / TOKEN)
    api = application(runtime, runtime.events, token, datetime.now(UTC))
    server = HttpServer(api, HOST, runtime.settings.control_port, what="control")
    file = state / ADDRESS
    try:
        file.write_text(json.dumps({"url": server.url, "pid": os.getpid()}))
        log.info("controlled at %s, with the token of %s", server.url, state / TOKEN)
        yield Address(server.url, token)
    finally:
        with suppress(FileNotFoundError):
            file.unlink()
        server.close()


def address_of(state: Path) -> Address:
    """Where the runtime of a folder of state is controlled. Raises `InstanceError` where none is
    up."""
    instance = running(state)
    try:
        found = json.loads((state / ADDRESS).read_text())
        token = (state / TOKEN).read_text(encoding="ascii").strip()
    except (FileNotFoundError, ValueError):
        found, token = {}, ""
    if instance is None or found.get("pid") != instance.pid:
        raise InstanceError(f"{state.parent} is not up: start it with gesso up {state.parent}")
    return Address(found["url"], token)
