"""Which network addresses are the public internet.

An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) is judged by that one as well: the
packet may end there.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
COMPATIBLE = IPv6Network("::/96")  # RFC 4291, 2.5.5.1, deprecated


def is_public(text: str) -> bool:
    """Whether an address, as a resolver gives it, belongs to anybody's public host."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    if address.scope_id is not None:
        return False
    carried = _carried(address)
    if carried is not None:
        return _is_public_v4(carried)
    return (
        address.is_global
        and not address.is_reserved
        and not address.is_multicast
        and not address.is_site_local
        and address.teredo is None
    )


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_reserved and not address.is_multicast


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64 or address in COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
