"""The bundled model, served on loopback, for real clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from gesso.agent.serve import Limits, serving
from gesso.agent.serve.keys import Keys
from gesso.engine import Engine, load_engine
from receipts_to_serve import Start


@pytest.fixture(scope="session")
def sketch() -> Engine:
    return load_engine("sketch")


@pytest.fixture(scope="session")
def url(sketch: Engine) -> Iterator[str]:
    """A server that needs no key."""
    limits = Limits(side_by_side=8, waiting=64, tokens=400)
    with serving(sketch, host="127.0.0.1", port=0, keys=Keys(), limits=limits) as url:
        yield url


@pytest.fixture
def start(sketch: Engine) -> Iterator[Start]:
    """Starts servers with limits of their own, which are closed at the end."""
    with ExitStack() as started:

        def begin(
            keys: Keys | None = None,
            *,
            side_by_side: int = 1,
            waiting: int = 0,
            tokens: int = 4000,
            **more: object,
        ) -> str:
            limits = Limits(side_by_side, waiting, tokens)
            server = serving(
                sketch,
                host="127.0.0.1",
                port=0,
                keys=keys or Keys(),
                limits=limits,
                **more,  # type: ignore[arg-type]
            )
            return started.enter_context(server)

        yield begin
