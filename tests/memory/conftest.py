"""Stores for the memory room's tests: in files of SQLite, or in PostgreSQL by
`GESSO_TEST_DATABASE=postgresql` (`make test-postgres`)."""

from pathlib import Path

import pytest
from postgresql import ON_POSTGRESQL, Address


@pytest.fixture
def address(tmp_path: Path, request: pytest.FixtureRequest) -> Address:
    """The address of the test's store of this name."""
    known: dict[str, str] = {}

    def of(name: str) -> str:
        if name not in known:
            file = str(tmp_path / f"{name}.db")
            new = request.getfixturevalue("postgresql").fresh if ON_POSTGRESQL else lambda: file
            known[name] = new()
        return known[name]

    return of


@pytest.fixture
def url(address: Address) -> str:
    """The address of the test's one store."""
    return address("store")
