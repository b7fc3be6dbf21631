"""The tool that fetches a page: from the hosts that the agent's file lists, and no other.

Each hop of a redirect is a new question: is the scheme http or https, is the host listed, are all
addresses that its name resolves to public? The connection then goes to one of the addresses that
were looked at, never to the name, so that a resolver that changes its answer changes nothing. No
proxy of the environment, no cookies, no credentials in the URL, no compressed bodies (a small one
may hold a huge page).
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urljoin

import httpx
from pydantic import Field

from . import page
from .address import is_public
from .errors import FetchError
from .tool import Context, Kind, Tool, tool

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, for a port."""

Host = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*(:[0-9]+)?$")]
"""A listed host: `example.com`, `*.example.com` (not the name itself), `example.com:8080`."""

READABLE = ("text/", "application/json", "application/xml", "application/xhtml+xml")
REDIRECTS = (301, 302, 303, 307, 308)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses that the system's resolver gives."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class Fetcher:
    """Fetches from `hosts` alone, each a `Host`; another port than the scheme's is part of it.

    `size` is in bytes; `seconds` is for everything from the first look-up to the last byte of the
    last hop. `resolver` and `admits` (may an address be connected to?) are what tests replace.
    """

    hosts: Sequence[str]
    size: int = 5_000_000
    seconds: float = 30.0
    hops: int = 5
    resolver: Resolver = resolve
    admits: Callable[[str], bool] = is_public

    async def fetch(self, url: str) -> str:
        """The page's address and text, as Markdown where it is HTML. Raises `FetchError`."""
        try:
            async with asyncio.timeout(self.seconds):
                return await self._follow(url)
        except TimeoutError:
            raise FetchError(f"{url}: not done within {self.seconds:g} seconds") from None
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise FetchError(f"{url}: {what}") from None

    async def _follow(self, url: str) -> str:
        for _ in range(self.hops + 1):
            location, text = await self._hop(url)
            if location is None:
                return f"{url}\n\n{text}"
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise FetchError(f"{url}: redirected to {location}: {error}") from None
        raise FetchError(f"{url}: redirected more than {self.hops} times")

    async def _hop(self, url: str) -> tuple[str | None, str]:
        """One request: where it is redirected to, or the text."""
        target = self._listed(url)
        host = target.raw_host.decode("ascii")
        port = target.port or {"http": 80, "https": 443}[target.scheme]
        address = await self._address(host, port)
        # no keep-alive is of use: the next hop may go elsewhere
        async with httpx.AsyncClient(trust_env=False, timeout=self.seconds) as client:
            request = client.build_request(
                "GET",
                target.copy_with(host=address, fragment=None),
                headers={
                    "Host": target.netloc.decode("ascii"),
                    "Accept": "text/html, text/*, application/json;q=0.9, */*;q=0.1",
                    "Accept-Encoding": "identity",
                    "User-Agent": "gesso",
                },
                extensions={"sni_hostname": host},  # the certificate is the name's
            )
            response = await client.send(request, stream=True)
            try:
                if response.status_code in REDIRECTS and "Location" in response.headers:
                    return response.headers["Location"], ""
                return None, await self._text(url, response)
            finally:
                await response.aclose()

    def _listed(self, url: str) -> httpx.URL:
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise FetchError(f"{url}: {error}") from None
        if target.scheme not in ("http", "https") or not target.raw_host:
            raise FetchError(f"{url}: is no http or https URL")
        if target.userinfo:
            raise FetchError(f"{url}: holds a user's name or password; leave it out")
        host = target.raw_host.decode("ascii").lower().rstrip(".")
        named = host if target.port is None else f"{host}:{target.port}"
        if not any(_is_listed(named, listed) for listed in self.hosts):
            allowed = ", ".join(self.hosts) or "none"
            raise FetchError(f"{url}: the host {named} is not listed; hosts: {allowed}")
        return target

    async def _address(self, host: str, port: int) -> str:
        try:
            addresses = await self.resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchError(f"{host}: cannot be resolved: {error}") from None
        for address in addresses:
            if not self.admits(address):
                raise FetchError(f"{host}: {address} is no public address")
        if not addresses:
            raise FetchError(f"{host}: has no address")
        return addresses[0]

    async def _text(self, url: str, response: httpx.Response) -> str:
        if response.is_error:
            raise FetchError(f"{url}: {response.status_code} {response.reason_phrase}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchError(f"{url}: is compressed, although it was asked not to be")
        kind = response.headers.get("Content-Type", "text/plain").split(";")[0].strip().lower()
        if not kind.startswith(READABLE):
            raise FetchError(f"{url}: is {kind}, which is no text")
        content = bytearray()
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > self.size:
                raise FetchError(f"{url}: is larger than {self.size:,} bytes")
        try:
            text = content.decode(response.encoding or "utf-8", errors="replace")
        except LookupError:
            text = content.decode("utf-8", errors="replace")
        return await _markdown(text) if "html" in kind else text


def fetch(fetcher: Fetcher) -> Tool:
    """The tool that fetches for an agent. It sends: a URL can carry anything out."""

    @tool(sends=True, idempotent=True)
    async def fetch(
        url: Annotated[str, Kind.URL, Field(description="Address of the page")],
        context: Context,
    ) -> str:
        """Fetch a web page as Markdown."""
        return context.cut(await fetcher.fetch(url))

    return fetch


async def _markdown(html: str) -> str:
    """The page as Markdown, by a process that ends with the fetch's time."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    parser = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", page.__file__), stdin=pipe, stdout=pipe, stderr=null
    )
    try:
        markdown, _ = await parser.communicate(html.encode("utf-8", errors="replace"))
    finally:
        if parser.returncode is None:
            parser.kill()
            await parser.wait()
    if parser.returncode:
        raise FetchError("the page cannot be read as HTML")
    return markdown.decode("utf-8")


def _is_listed(host: str, listed: str) -> bool:
    if listed.startswith("*."):
        return host.endswith(listed[1:]) and len(host) > len(listed) - 1
    return host == listed
