"""What `/v1/cost` tells: the report, and the lines of its chart."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from ...memory import Store
from ..cost.chart import series_of
from ..cost.hardware import profiles
from ..cost.report import Basis, By, Question, report_of
from ..cost.words import report_json


def cost_told(store: Store, by: By, basis: Basis, *, now: datetime) -> dict[str, Any]:
    """Raises `CostError` for what is unknown of the basis."""
    asked = Question(by)
    report = report_of(store, asked, basis, now=now)
    daily = report if by == "day" else report_of(store, replace(asked, by="day"), basis, now=now)
    days, sums = series_of(daily)
    series = {"days": [day.isoformat() for day in days], "sums": sums}
    return report_json(report) | {"series": series, "machines": sorted(profiles())}
