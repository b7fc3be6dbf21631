"""The store of a project, for the commands that read it and write to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...memory import Store


@contextmanager
def opened_store(project: Path) -> Iterator[Store]:
    """The store of a project in which something ran, or was told."""
    from ...memory import Store
    from ..errors import ProjectError
    from ..settings import read_settings
    from ..state import has_store, store_of

    settings = read_settings(project)
    where = store_of(project, settings)
    if not has_store(project, settings):
        raise ProjectError(f"{project}: nothing has run here yet (no {where})")
    with Store(where) as store:
        yield store


def when_up(project: Path) -> str:
    """What to add to the news that something goes on, where nothing is up to let it."""
    from ..instance import running

    return "" if running(project / ".gesso") else " at the next gesso up"
