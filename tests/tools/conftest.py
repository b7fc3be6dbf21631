"""A workspace, a store and a context for the tools room's tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gesso.memory import Run, Store
from gesso.tools import Context, Workspace

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    root = tmp_path / "workspace"
    root.mkdir()
    with Store(tmp_path / "store.db") as store:
        store.add_run(Run("r1", "clerk", "manual", "hello", "running", "sketch", NOW))
        yield Context(Workspace(root), store, "r1", "clerk", "r1/0/0", "inbox/a.txt")
