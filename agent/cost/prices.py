"""What cloud models charge: `genai-prices`, its dated prices and tiers, one entry at a time.

The list is in the package, offline. `update` fetches the newest one into the user's cache folder,
where it is used until another version of the package is installed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from genai_prices import __version__ as package_version
from genai_prices import types
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices
from genai_prices.update_prices import DEFAULT_UPDATE_URL

from ..errors import CostError, UpdateError

MILLION = Decimal(1_000_000)
FETCH_SECONDS = 30.0
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Peer:
    """A cloud model that work is set against. `tier` is a way of processing that is charged apart
    (`batch`, `flex`); `factor` is how many tokens its tokenizer makes where ours makes one."""

    provider: str
    model: str
    tier: str | None = None
    factor: Decimal = Decimal(1)

    def __str__(self) -> str:
        tier = f",tier={self.tier}" if self.tier else ""
        factor = f",factor={self.factor}" if self.factor != 1 else ""
        return f"{self.provider}/{self.model}{tier}{factor}"


@dataclass(frozen=True)
class Price:
    """US dollars for a million of one kind of token (for a thousand requests, of those). `above` is
    the size of a prompt beyond which it is so, 0 in the lowest tier. `valid` says from when, or at
    what time of the day, the entry is in force; it is empty for one that always was."""

    dollars: Decimal
    above: int = 0
    valid: str = ""


@dataclass(frozen=True)
class Entry:
    """All prices of a model at one time, each with its tiers, lowest first."""

    fresh: Sequence[Price]
    cached: Sequence[Price]
    output: Sequence[Price]
    requests: Sequence[Price]

    @property
    def edges(self) -> set[int]:
        kinds = (self.fresh, self.cached, self.output)
        return {price.above for kind in kinds for price in kind} - {0}


def price_for(tiers: Sequence[Price], bucket: int, factor: Decimal = Decimal(1)) -> Price:
    """The price for prompts that are larger than `bucket`, and not than the next known edge, of
    which each token makes `factor` tokens there."""
    return next(price for price in reversed(tiers) if int(price.above / factor) <= bucket)


def read_peer(text: str) -> Peer:
    """`PROVIDER/MODEL`, and after it `,tier=batch` and `,factor=1.2` where they are wanted.

    Raises:
        CostError: it is not of this form.
    """
    name, *options = text.split(",")
    provider, slash, model = name.strip().partition("/")
    if not (slash and provider and model):
        raise CostError(f"{text}: a cloud model is PROVIDER/MODEL, such as openai/gpt-5.5")
    tier, factor = None, Decimal(1)
    for option in options:
        key, _, value = option.strip().partition("=")
        if key == "tier" and value:
            tier = value
        elif key == "factor":
            factor = _factor(text, value)
        else:
            raise CostError(f"{text}: {option.strip()!r} is neither tier=NAME nor factor=NUMBER")
    return Peer(provider, model, tier, factor)


class PriceList:
    """One list of prices. `version` and `date` say which: the date is the newest from which a price
    in it is in force, or the day on which it was fetched."""

    def __init__(self, snapshot: DataSnapshot, version: str, fetched: date | None = None) -> None:
        self._snapshot = snapshot
        self.version = version
        self.fetched = fetched
        self._entries: dict[tuple[Peer, datetime], Entry] = {}
        self._same: dict[Entry, Entry] = {}

    def __str__(self) -> str:
        if self.fetched is not None:
            return f"genai-prices, fetched {self.fetched}"
        return f"genai-prices {self.version}, newest price of {self.date}"

    @property
    def date(self) -> date | None:
        if self.fetched is not None:
            return self.fetched
        starts = (
            found.constraint.start_date
            for provider in self._snapshot.providers
            for model in provider.models
            for found in (*_conditional(model), *(model.price_variants or ()))
            if isinstance(found.constraint, types.StartDateConstraint)
        )
        return max((start for start in starts if start <= datetime.now(UTC).date()), default=None)

    def name(self, peer: Peer) -> str:
        """What people call the model. Raises `CostError` for one that the list does not have."""
        model = self._model(peer)
        return f"{model.name or model.id}{f' ({peer.tier})' if peer.tier else ''}"

    def model_id(self, peer: Peer) -> str:
        """The model's own name in the list."""
        return self._model(peer).id

    def entry(self, peer: Peer, at: datetime) -> Entry:
        """What the model charges at a time.

        Raises:
            CostError: the list does not have the model, prices of its tokens, or such a tier.
        """
        found = self._entries.get((peer, at))
        if found is None:
            found = _entry(self._model(peer), peer, at)
            # The same object at all times that the entry is in force.
            found = self._entries[peer, at] = self._same.setdefault(found, found)
        return found

    def changes(self, peer: Peer, since: datetime, until: datetime) -> list[datetime]:
        """The times between two at which the model may change what it charges."""
        model = self._model(peer)
        given = [
            found.constraint for found in (*_conditional(model), *(model.price_variants or ()))
        ]
        found = set[datetime]()
        for constraint in given:
            if isinstance(constraint, types.StartDateConstraint):
                found.add(datetime.combine(constraint.start_date, time(), UTC))
            elif isinstance(constraint, types.TimeOfDateConstraint):
                for day in range((until - since).days + 2):
                    date = since.astimezone(UTC).date() + timedelta(days=day)
                    ends = (constraint.start_time, constraint.end_time)
                    found |= {datetime.combine(date, end, end.tzinfo or UTC) for end in ends}
        return sorted(at for at in found if since < at < until)

    def _model(self, peer: Peer) -> ModelInfo:
        try:
            _, model = self._snapshot.find_provider_model(peer.model, None, peer.provider, None)
        except LookupError:
            like = self.known(peer.model)[:5] or self.known(peer.provider)[:5]
            hint = f"; do you mean {', '.join(like)}?" if like else ""
            raise CostError(f"{peer.provider}/{peer.model}: not in {self}{hint}") from None
        return model

    def known(self, words: str) -> list[str]:
        """The models whose name has all of the words, as `PROVIDER/MODEL`."""
        wanted = words.lower().replace("/", " ").split()
        names = (f"{p.id}/{model.id}" for p in self._snapshot.providers for model in p.models)
        return [name for name in names if all(word in name.lower() for word in wanted)]


def _entry(model: ModelInfo, peer: Peer, at: datetime) -> Entry:
    standard = _in_force(_conditional(model), at)
    if standard is None:
        raise CostError(f"{peer}: no prices are known")
    sources: list[tuple[ModelPrice, str]] = [(standard.prices, _when(standard.constraint))]
    if peer.tier is not None:
        variants = [v for v in model.price_variants or () if peer.tier in v.when.values()]
        if not variants:
            tiers = sorted({t for v in model.price_variants or () for t in v.when.values()})
            what = f"known are {', '.join(tiers)}" if tiers else "it has none"
            raise CostError(f"{peer}: {model.id} has no tier {peer.tier}; {what}")
        in_force = [v for v in variants if v.constraint is None or v.constraint.active(at)]
        sources = [(v.prices, _when(v.constraint, peer.tier)) for v in in_force] + sources
    fresh = _tiers(sources, "input_mtok")
    output = _tiers(sources, "output_mtok")
    if not fresh or not output:
        raise CostError(f"{peer}: {model.id} has no price for tokens in and out")
    return Entry(
        fresh=fresh,
        cached=_tiers(sources, "cache_read_mtok") or fresh,
        output=output,
        requests=_tiers(sources, "requests_kcount"),
    )


def _conditional(model: ModelInfo) -> list[types.ConditionalPrice]:
    prices = model.prices
    return [types.ConditionalPrice(prices=prices)] if isinstance(prices, ModelPrice) else prices


def _in_force(
    prices: Sequence[types.ConditionalPrice], at: datetime
) -> types.ConditionalPrice | None:
    """As the list is to be read: the last whose condition holds, or else the first."""
    holding = (p for p in reversed(prices) if p.constraint is None or p.constraint.active(at))
    return next(holding, prices[0] if prices else None)


def _tiers(sources: Sequence[tuple[ModelPrice, str]], key: str) -> tuple[Price, ...]:
    """A price and its tiers from the first source that has it."""
    for prices, valid in sources:
        price = getattr(prices, key)
        if isinstance(price, TieredPrices):
            tiers = [Price(tier.price, tier.start, valid) for tier in price.tiers]
            return (Price(price.base, 0, valid), *tiers)
        if price is not None:
            return (Price(price, 0, valid),)
    return ()


def _when(constraint: Any, tier: str | None = None) -> str:
    words = [] if tier is None else [tier]
    if isinstance(constraint, types.StartDateConstraint):
        words.append(f"from {constraint.start_date}")
    elif isinstance(constraint, types.TimeOfDateConstraint):
        words.append(f"{constraint.start_time:%H:%M} to {constraint.end_time:%H:%M} UTC")
    return ", ".join(words)


@cache
def price_list() -> PriceList:
    """The list that was fetched for this version of the package, or else the package's own."""
    file = _file()
    try:
        kept = json.loads(file.read_bytes()) if file else None
    except (OSError, ValueError):
        kept = None
    if kept is None or kept["package"] != package_version:
        return PriceList(get_snapshot(), package_version)
    return PriceList(
        _snapshot_of(kept["providers"]), package_version, date.fromisoformat(kept["fetched"])
    )


def update(url: str = DEFAULT_UPDATE_URL) -> PriceList:
    """Fetch the newest list, and use it from now on.

    Raises:
        UpdateError: it cannot be fetched or kept; the list that was there stays in use.
    """
    file = _file()
    if file is None:
        raise UpdateError("prices: there is no cache folder to keep them in: set XDG_CACHE_HOME")
    try:
        answer = httpx.get(url, timeout=FETCH_SECONDS, follow_redirects=True).raise_for_status()
        providers = json.loads(answer.content)
        _snapshot_of(providers)
    except httpx.HTTPError as error:
        host = httpx.URL(url).host
        what = str(error).splitlines()[0] or type(error).__name__
        raise UpdateError(
            f"prices: {host} cannot be reached ({what}); in use stays {price_list()}"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        what = str(error).splitlines()[0]
        raise UpdateError(
            f"prices: {url} is no list that genai-prices {package_version} reads ({what});"
            f" in use stays {price_list()}"
        ) from None
    today = datetime.now(UTC).date().isoformat()
    kept = {"package": package_version, "fetched": today, "providers": providers}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(json.dumps(kept), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        raise UpdateError(f"{file}: {error.strerror or error}") from None
    price_list.cache_clear()
    return price_list()


def _snapshot_of(providers: Any) -> DataSnapshot:
    # The package's own reader, which it keeps to itself: what its updater does with an answer.
    read = types._providers_from_raw  # pyright: ignore[reportPrivateUsage]
    if not isinstance(providers, list) or not providers:
        raise ValueError("not a list of providers")
    return DataSnapshot(read(providers), from_auto_update=True)


def _file() -> Path | None:
    """The user's; `None` for a user without a home."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        return None
    return folder / "gesso" / "prices.json"


def _factor(text: str, value: str) -> Decimal:
    try:
        factor = Decimal(value)
    except ArithmeticError:
        factor = Decimal(0)
    if not (factor.is_finite() and factor > 0):
        raise CostError(f"{text}: a factor is a number above 0")
    return factor
