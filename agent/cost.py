"""What the work took, and what the same tokens would have cost at a cloud API.

Computed from the ledger when someone asks, never stored. Every turn is priced by itself, at the
prices of its own time: tiers depend on the size of one prompt, and the past is not repriced.
A token that was cached here is taken as a cached read there, which favours the cloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from genai_prices import Usage, calc_price
from genai_prices import __version__ as prices_version

from ..memory import LedgerEntry

# The same kind of open model, hosted, as the honest peer; two frontier models beside it.
PEERS = (
    ("google", "gemma-4-26b-a4b-it-maas"),
    ("anthropic", "claude-sonnet-5-5"),
    ("openai", "gpt-5.5"),
)


@dataclass(frozen=True)
class Peer:
    """What the tokens cost elsewhere, in US dollars."""

    provider: str
    model: str
    name: str
    dollars: Decimal


@dataclass(frozen=True)
class Spent:
    """What one model took here. Seconds are those of generation, prefill and denoising."""

    model: str
    device: str
    turns: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    canvases: int
    denoising_steps: int
    seconds: float

    @property
    def output_tokens_per_second(self) -> float | None:
        return self.output_tokens / self.seconds if self.seconds else None


@dataclass(frozen=True)
class Cost:
    runs: int
    spent: Sequence[Spent]
    peers: Sequence[Peer]
    prices: str
    """The version of the price list."""


def cost_of(entries: Iterable[LedgerEntry]) -> Cost:
    ledger = list(entries)
    models = sorted({(entry.model, entry.device) for entry in ledger})
    return Cost(
        runs=len({entry.run for entry in ledger}),
        spent=[_spent(*key, [e for e in ledger if (e.model, e.device) == key]) for key in models],
        peers=[_peer(provider, model, ledger) for provider, model in PEERS],
        prices=f"genai-prices {prices_version}",
    )


def _spent(model: str, device: str, entries: Sequence[LedgerEntry]) -> Spent:
    return Spent(
        model=model,
        device=device,
        turns=len(entries),
        prompt_tokens=sum(e.prompt_tokens for e in entries),
        cached_tokens=sum(e.cached_tokens for e in entries),
        output_tokens=sum(e.output_tokens for e in entries),
        canvases=sum(e.canvases for e in entries),
        denoising_steps=sum(e.denoising_steps for e in entries),
        seconds=sum(e.prefill_seconds + e.denoising_seconds for e in entries),
    )


def dollars_of(entries: Sequence[LedgerEntry], peer: str) -> Decimal:
    """What the entries' tokens would have cost at `peer` (`provider/model`), in US dollars.

    Raises `LookupError` for a peer that the price list does not have.
    """
    provider, _, model = peer.partition("/")
    calc_price(Usage(), model, provider_id=provider)  # the list is asked, even for no entries
    return _peer(provider, model, entries).dollars


def _peer(provider: str, model: str, entries: Sequence[LedgerEntry]) -> Peer:
    prices = [
        calc_price(
            Usage(
                input_tokens=entry.prompt_tokens,
                cache_read_tokens=entry.cached_tokens,
                output_tokens=entry.output_tokens,
            ),
            model,
            provider_id=provider,
            genai_request_timestamp=entry.at,
        )
        for entry in entries
    ]
    name = prices[0].model.name if prices else None
    return Peer(provider, model, name or model, sum((p.total_price for p in prices), Decimal()))
