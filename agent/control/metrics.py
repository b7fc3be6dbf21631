"""`/metrics`: the figures of a runtime in Prometheus' text format, read when asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ...memory import Spend, Store
from ..cost.throughput import throughput_of

LABELS = ("agent", "model", "device")
COUNTED = {
    "generations": ("gesso_generations", "Generations"),
    "prompt_tokens": ("gesso_prompt_tokens", "Tokens of prompts, those that were cached too"),
    "cached_tokens": ("gesso_cached_tokens", "Tokens of prompts that were not encoded anew"),
    "output_tokens": ("gesso_output_tokens", "Tokens of answers"),
    "canvases": ("gesso_canvases", "Canvases"),
    "denoising_steps": ("gesso_denoising_steps", "Denoising steps"),
    "unknown_generations": ("gesso_unmetered_generations", "Generations of unknown energy"),
    "seconds": ("gesso_generation_seconds", "Seconds of prefill and denoising"),
}


def metrics_of(store: Store) -> bytes:
    """In the text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(store))
    return generate_latest(registry)


class _Collector:
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        spends = self._store.ledger.spends(apart=LABELS, cuts=_ALWAYS)
        for name, (metric, told) in COUNTED.items():
            family = CounterMetricFamily(metric, told, labels=LABELS)
            for key, value in _sums(spends, name).items():
                family.add_metric(key, value)
            yield family
        joules = CounterMetricFamily(
            "gesso_joules", "Energy of generations, as it was known", labels=(*LABELS, "energy")
        )
        for energy in ("measured", "estimated"):
            for key, value in _sums(spends, f"{energy}_joules").items():
                if value:  # of generations whose energy is unknown there is no zero
                    joules.add_metric((*key, energy), value)
        yield joules
        rate = throughput_of(self._store, datetime.now(UTC))
        family = GaugeMetricFamily(
            "gesso_output_tokens_per_second", "Over a minute, a day's work, a day", labels=["over"]
        )
        for over, value in (("now", rate.now), ("today", rate.today), ("day", rate.sustained)):
            if value is not None:
                family.add_metric([over], value)
        yield family
        runs = GaugeMetricFamily("gesso_runs", "Runs by their state", labels=["state"])
        for state, number in self._store.run_counts().items():
            runs.add_metric([state], number)
        yield runs
        inbox = GaugeMetricFamily("gesso_inbox", "What waits for the person")
        inbox.add_metric([], len(self._store.inbox.entries()))
        yield inbox


_ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


def _sums(spends: Sequence[Spend], name: str) -> dict[tuple[str, ...], float]:
    sums: dict[tuple[str, ...], float] = {}
    for spend in spends:
        key = (spend.agent, spend.model, spend.device)
        sums[key] = sums.get(key, 0) + getattr(spend, name)
    return sums
