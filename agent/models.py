"""Engines as a project's settings want them."""

from __future__ import annotations

from ..engine import Engine, load_engine
from .cost.hardware import terms_of
from .settings import Settings


def engine_of(model: str, settings: Settings) -> Engine:
    """Raises what `load_engine` raises, and `CostError` for a machine that is unknown."""
    watts = terms_of(settings).load_watts
    return load_engine(model, settings.device, settings.dtype, load_watts=watts)
