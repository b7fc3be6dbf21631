"""A storm of requests that come and are given up: the short form of `storm.py`."""

from __future__ import annotations

import pytest
from gesso.engine import load_engine
from storm import storm


@pytest.mark.slow
def test_a_storm_of_requests_loses_and_mixes_up_none() -> None:
    found = storm(load_engine("sketch"), requests=600, clients=24)
    assert found.wrong == 0
    assert found.counts["answered"] > 300
    assert found.counts["given up"] > 50
