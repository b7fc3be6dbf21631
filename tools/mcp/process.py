"""A server that is a process: JSON-RPC, a message a line, over its standard input and output.

The SDK's own transport for this keeps a line of any length; here a server that writes without end
is ended. Its processes are a group, which goes with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from .fate import MESSAGE, Fate

LINES = 10_000
"""Lines that a server may write without being asked anything."""
COMPLAINT = 2000
"""Bytes of the end of its standard error that are kept, to say why it ended."""
GRACE = 2.0
"""Seconds to leave by itself, and then again on SIGTERM."""

Incoming = MemoryObjectSendStream[SessionMessage | Exception]
Streams = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]


@asynccontextmanager
async def process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, fate: Fate
) -> AsyncIterator[Streams]:
    """The streams of a process that is started here; `fate` learns how it ends.

    Raises:
        OSError: the command cannot be started.
    """
    started = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=get_default_environment() | dict(environment),
        cwd=folder,
        start_new_session=True,
        limit=MESSAGE,
    )
    to_session, incoming = anyio.create_memory_object_stream[SessionMessage | Exception]()
    outgoing, from_session = anyio.create_memory_object_stream[SessionMessage]()
    server = _Server(started, fate)
    complaints = asyncio.create_task(server.complain())
    tasks = [
        complaints,
        asyncio.create_task(server.read(to_session, complaints)),
        asyncio.create_task(server.write(from_session)),
    ]
    try:
        yield incoming, outgoing
    finally:
        await _end(started)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (to_session, incoming, outgoing, from_session):
            stream.close()
        started._transport.close()  # pyright: ignore[reportAttributeAccessIssue] - a grandchild may hold the pipes


class _Server:
    def __init__(self, process: asyncio.subprocess.Process, fate: Fate) -> None:
        self._process = process
        self._fate = fate
        self._complaint = b""
        self._lines = 0

    async def read(self, to_session: Incoming, complaints: asyncio.Task[None]) -> None:
        assert self._process.stdout is not None
        with to_session:
            try:
                while line := await self._process.stdout.readline():
                    self._lines += 1
                    if self._lines > LINES:
                        return self._fate.seal(f"wrote {LINES:,} lines without being asked")
                    with suppress(ValueError):  # what is no message (a banner) is nobody's
                        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                        await to_session.send(SessionMessage(message))
            except ValueError:
                return self._fate.seal(f"wrote a message of more than {MESSAGE:,} bytes")
            except anyio.BrokenResourceError:
                return None
            await _ended(self._process, GRACE)
            # The other pipe may lag behind, or be held by a process that it has left.
            await asyncio.wait({complaints}, timeout=0.5)
            return self._fate.seal(self._last_words())

    async def write(self, from_session: MemoryObjectReceiveStream[SessionMessage]) -> None:
        assert self._process.stdin is not None
        with suppress(ConnectionError):  # `read` finds out that it has ended, and why
            async for message in from_session:
                self._lines = 0
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._process.stdin.write(text.encode() + b"\n")
                await self._process.stdin.drain()

    async def complain(self) -> None:
        assert self._process.stderr is not None
        while part := await self._process.stderr.read(COMPLAINT):
            self._complaint = (self._complaint + part)[-COMPLAINT:]

    def _last_words(self) -> str:
        code = self._process.returncode
        how = "closed its output" if code is None else f"ended with exit code {code}"
        lines = self._complaint.decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{how}: {said}" if said else how


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask, then make it end, with all that it has started."""
    assert process.stdin is not None
    process.stdin.close()
    if not await _ended(process, GRACE):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await _ended(process, GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await _ended(process, GRACE)


async def _ended(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Not `process.wait()`, which also waits for whoever else holds the pipes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while process.returncode is None:
                await asyncio.sleep(0.01)
    return process.returncode is not None
