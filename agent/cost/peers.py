"""What the same tokens would have cost at cloud models, each figure traced to its price.

Every generation is one request there, at the prices of its own time; a price that depends on the
size of a prompt is taken for the whole request, as the list says. A token that was cached here is
taken as a cached read there, which favours the cloud. A tokenizer makes other tokens of the same
text: a peer's `factor` says how many, and is 1 where nobody knows better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from ...memory import PROMPT_EDGES, Spend
from .prices import MILLION, Peer, Price, PriceList, price_for, price_list, read_peer

Kind = Literal["fresh", "cached", "output", "requests"]
KINDS: tuple[Kind, ...] = ("fresh", "cached", "output", "requests")
THOUSAND = Decimal(1000)


@dataclass(frozen=True)
class Line:
    """One figure of a bill: so many tokens (or requests) of a kind at one price, in US dollars."""

    kind: Kind
    quantity: Decimal
    price: Price
    dollars: Decimal


@dataclass(frozen=True)
class Bill:
    """What a cloud model would have charged, in US dollars."""

    peer: Peer
    name: str
    dollars: Decimal
    lines: Sequence[Line]


def bill_of(spends: Iterable[Spend], peer: Peer, prices: PriceList) -> Bill:
    """Raises `CostError` for a peer that the list does not have."""
    name = prices.name(peer)
    quantities: dict[tuple[Kind, Price], int] = defaultdict(int)
    for spend in spends:
        entry = prices.entry(peer, spend.start)
        bucket = spend.prompt_bucket
        fresh = spend.prompt_tokens - spend.cached_tokens
        quantities["fresh", price_for(entry.fresh, bucket, peer.factor)] += fresh
        quantities["cached", price_for(entry.cached, bucket, peer.factor)] += spend.cached_tokens
        quantities["output", price_for(entry.output, bucket, peer.factor)] += spend.output_tokens
        if entry.requests:
            quantities["requests", entry.requests[0]] += spend.generations
    lines = [_line(*key, count, peer) for key, count in quantities.items() if count]
    lines.sort(key=lambda line: (KINDS.index(line.kind), line.price.above, line.price.valid))
    return Bill(peer, name, sum((line.dollars for line in lines), Decimal()), lines)


def _line(kind: Kind, price: Price, count: int, peer: Peer) -> Line:
    if kind == "requests":
        return Line(kind, Decimal(count), price, count * price.dollars / THOUSAND)
    tokens = count * peer.factor
    return Line(kind, tokens, price, tokens * price.dollars / MILLION)


def dollars_of(spends: Iterable[Spend], peer: str) -> Decimal:
    """What was spent would have cost at `peer` (`PROVIDER/MODEL`). Raises `CostError` for one that
    the list does not have."""
    return bill_of(spends, read_peer(peer), price_list()).dollars


def edges_of(peers: Sequence[Peer], prices: PriceList, times: Sequence[datetime]) -> list[int]:
    """The sizes of a prompt, in our tokens, beyond which one of the peers has another price."""
    own = {
        int(edge / peer.factor)
        for peer in peers
        for at in times
        for edge in prices.entry(peer, at).edges
    }
    return sorted(own) if own - set(PROMPT_EDGES) else list(PROMPT_EDGES)
