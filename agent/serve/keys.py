"""Who may ask: whoever shows a key, or, where there is none, this machine alone.

Without keys a web page could still have the browser of this machine send requests (or have its own
name resolve to this address), so those that name another host or come from another origin are
refused.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from ..errors import ServeError
from .refusal import Refusal


class Keys:
    """The keys that are admitted, by name."""

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self._keys = {name: key.encode() for name, key in (keys or {}).items()}

    def check_host(self, host: str) -> None:
        """Raises `ServeError` where others could reach the address, and there is no key."""
        if not self._keys and not is_loopback(host):
            raise ServeError(
                f"{host} is reached from other machines: name a secret that clients must show"
                " (--key NAME), or listen on 127.0.0.1"
            )

    def admit(self, headers: Headers) -> str:
        """The name of the key that a request shows, nothing where none is needed. Raises `Refusal`
        for a request without one, or from elsewhere where none is needed."""
        if not self._keys:
            origin = headers.get("origin")
            named = urlsplit(f"//{headers.get('host', '')}").hostname
            if not is_loopback(named) or (origin and not is_loopback(urlsplit(origin).hostname)):
                raise Refusal(403, "key", "without keys, only this machine's own programs may ask")
            return ""
        bearer = headers.get("authorization", "")
        shown = headers.get("x-api-key") or bearer.removeprefix("Bearer ")
        # All are compared, in the same time each.
        compared = {
            name: hmac.compare_digest(shown.encode("latin-1"), key)
            for name, key in self._keys.items()
        }
        found = [name for name, alike in compared.items() if alike]
        if not found:
            what = "the key is wrong" if shown else "a key is needed: `Authorization: Bearer KEY`"
            raise Refusal(401, "key", what, code="invalid_api_key")
        return found[0]


def is_loopback(host: str | None) -> bool:
    """Whether a host's name is this machine's own."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
