"""How the connection to a server ended."""

from __future__ import annotations

import asyncio

MESSAGE = 4_000_000
"""Bytes of the longest message that a server may send."""


class Fate:
    """Sealed once, with the reason."""

    def __init__(self) -> None:
        self._sealed = asyncio.Event()
        self.reason: str | None = None

    @property
    def sealed(self) -> bool:
        return self._sealed.is_set()

    def seal(self, reason: str) -> None:
        if not self._sealed.is_set():
            self.reason = reason
            self._sealed.set()

    async def wait(self) -> None:
        await self._sealed.wait()
