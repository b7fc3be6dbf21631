"""The control API from the other side: what a monitor asks a runtime, and what it hears of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from ..errors import ControlError, InstanceError
from .server import Address, address_of

AGAIN_SECONDS = 1.0
TIMEOUT = httpx.Timeout(10.0, read=30.0)


class Control:
    """Speaks to the runtime of a project's folder of state, whichever process that is by now. An
    async context manager."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._client = httpx.AsyncClient(timeout=TIMEOUT)
        self._known: Address | None = None

    async def __aenter__(self) -> Control:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: Any) -> Any:
        """The answer to a question.

        Raises:
            InstanceError: no runtime is up.
            ControlError: it does not answer, or refuses, with its reason.
        """
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, **body: Any) -> Any:
        """The answer to a request for a change; raises as `get` does."""
        return await self._ask("POST", path, json=body)

    async def delete(self, path: str) -> Any:
        return await self._ask("DELETE", path)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            try:
                answer = await self._request(method, path, **options)
            except httpx.ConnectError:  # it may be another process by now
                self._known = None
                answer = await self._request(method, path, **options)
        except httpx.HTTPError as error:
            self._known = None
            raise ControlError(f"the runtime does not answer: {error}") from None
        if answer.is_success:
            return answer.json()
        try:
            what = answer.json()["error"]
        except (ValueError, KeyError):
            what = f"status {answer.status_code}"
        raise ControlError(what)

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        address = await self._address()
        url = f"{address.url}{path}"
        return await self._client.request(method, url, headers=_shown(address), **options)

    async def _address(self) -> Address:
        """Where the runtime is. To find it takes a while, so it is only looked for anew when it
        does not answer, and nothing waits meanwhile that does not want it."""
        if self._known is None:
            self._known = await asyncio.to_thread(address_of, self._state)
        return self._known

    async def events(self, lost: Callable[[str], None]) -> AsyncIterator[dict[str, Any]]:
        """Everything that happens, from now on and for ever; a runtime that goes is waited for.
        `lost` is told why it is not heard, and an empty text when it is again."""
        last: int | None = None
        while True:
            try:
                self._known = None
                address = await self._address()
                headers = _shown(address)
                if last is not None:
                    headers["Last-Event-ID"] = str(last)
                url = f"{address.url}/v1/events"
                async with self._client.stream("GET", url, headers=headers) as answer:
                    answer.raise_for_status()
                    heard = False
                    async for line in answer.aiter_lines():
                        if not heard:  # only now is nothing missed any more
                            heard = True
                            lost("")
                        if line.startswith("data: "):
                            event = json.loads(line.removeprefix("data: "))
                            last = event["id"]
                            yield event
                lost("the runtime has ended the stream")
            except (InstanceError, httpx.HTTPError) as error:
                lost(str(error) or type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)


def _shown(address: Address) -> dict[str, str]:
    return {"Authorization": f"Bearer {address.token}"}
