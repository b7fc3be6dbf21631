"""A server that is called over HTTP, by the SDK's transport for streamable HTTP.

The SDK bounds an event of a stream, not a plain answer: here no answer is longer than a message may
be, before or after it is unpacked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from .fate import MESSAGE

CONNECT_SECONDS = 20.0
SILENCE_SECONDS = 300.0
"""How long a stream may be silent; a call has a limit of its own."""


@asynccontextmanager
async def web(url: str, headers: Mapping[str, str]) -> AsyncIterator[TransportStreams]:
    async with (
        httpx2.AsyncClient(
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(CONNECT_SECONDS, read=SILENCE_SECONDS),
            event_hooks={"response": [_bound]},
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MESSAGE) as streams,
    ):
        yield streams


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("the answer is packed, which was not asked for")
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > MESSAGE:
                raise httpx2.ReadError(f"an answer of more than {MESSAGE:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
