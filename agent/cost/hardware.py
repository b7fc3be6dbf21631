"""What a machine costs and draws: profiles in a data file, and the terms of one project.

A figure that nobody knows is `None`, and so is what is computed from it: never a silent zero.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CostError

if TYPE_CHECKING:
    from ..settings import Settings

HOURS_A_MONTH = 365.25 * 24 / 12
"""730.5: of the mean month."""

MONTHS = 36.0
"""How long a machine is written off over that no profile and no setting says more of."""

JOULES_A_KWH = 3_600_000

ELECTRICITY = 0.17
"""US dollars a kilowatt hour where a project says nothing: about what households of the United
States paid in 2025, by their Energy Information Administration."""


@dataclass(frozen=True)
class Hardware:
    """A machine: its price in US dollars, the months it is written off over, and the watts of all
    of it at the wall. `estimates` names the figures that are estimates; `source` and `date` say
    where the others are from."""

    name: str
    title: str
    price: float
    months: float
    idle_watts: float
    load_watts: float
    source: str
    date: date
    estimates: Sequence[str] = ()


@dataclass(frozen=True)
class Terms:
    """What a project's owner pays, in `currency`, of which a US dollar buys `rate`: `price` once
    for the machine, `electricity` for a kilowatt hour. `notes` say what is assumed."""

    hardware: str
    price: float | None = None
    months: float = MONTHS
    idle_watts: float | None = None
    load_watts: float | None = None
    electricity: float = ELECTRICITY
    currency: str = "USD"
    rate: float = 1.0
    idle_counted: bool = True
    notes: Sequence[str] = ()

    @property
    def price_an_hour(self) -> float | None:
        """Of owning the machine, whatever it does."""
        return None if self.price is None else self.price / (self.months * HOURS_A_MONTH)

    @property
    def idle_an_hour(self) -> float | None:
        """Of the electricity that a machine draws which waits; 0 where that is not counted."""
        if not self.idle_counted:
            return 0.0
        return None if self.idle_watts is None else self.idle_watts / 1000 * self.electricity


@cache
def profiles() -> Mapping[str, Hardware]:
    """The machines we know, by their names."""
    text = (Path(__file__).parent / "hardware.toml").read_text(encoding="utf-8")
    return {name: Hardware(name=name, **fields) for name, fields in tomllib.loads(text).items()}


def terms_of(settings: Settings) -> Terms:
    """What a project's settings say of its machine; a profile's figures where they say nothing.

    Raises:
        CostError: there is no such profile, or a currency is without its rate.
    """
    currency, rate = settings.currency, settings.currency_rate
    if currency != "USD" and rate is None:
        raise CostError(
            f"currency: {currency} is without a rate: set currency_rate to what a US dollar buys"
        )
    rate = 1.0 if rate is None or currency == "USD" else rate
    given: dict[str, Any] = {
        "price": settings.hardware_price,
        "months": settings.hardware_months,
        "idle_watts": settings.idle_watts,
        "load_watts": settings.load_watts,
    }
    given = {name: value for name, value in given.items() if value is not None}
    notes: list[str] = []
    figures: dict[str, Any] = {}
    title = "this machine"
    if settings.hardware is not None:
        profile = _profile(settings.hardware)
        title = profile.title
        figures = {
            "price": profile.price * rate,
            "months": profile.months,
            "idle_watts": profile.idle_watts,
            "load_watts": profile.load_watts,
        }
        if taken := [_words(name) for name in figures if name not in given]:
            notes.append(f"{title}: {', '.join(taken)} as of {profile.date} ({profile.source})")
        if guessed := [_words(name) for name in profile.estimates if name not in given]:
            notes.append(f"{title}: {', '.join(guessed)}: estimated, not measured")
    elif not given:
        notes.append("No machine is set, so what it costs is unknown: set hardware in gesso.toml")
    electricity = settings.electricity
    if electricity is None:
        electricity = ELECTRICITY * rate
        notes.append(
            f"A kilowatt hour is taken to cost {electricity:.2f} {currency}, about what households"
            " of the United States pay (2025): set electricity in gesso.toml"
        )
    if not settings.idle_counted:
        notes.append("The electricity of idle hours is left out, as idle_counted says")
    return Terms(
        hardware=title,
        electricity=electricity,
        currency=currency,
        rate=rate,
        idle_counted=settings.idle_counted,
        notes=tuple(notes),
        **(figures | given),
    )


def _profile(name: str) -> Hardware:
    try:
        return profiles()[name]
    except KeyError:
        known = ", ".join(profiles())
        raise CostError(f"hardware: {name} is unknown; known are {known}") from None


def _words(name: str) -> str:
    return name.replace("_", " ")
