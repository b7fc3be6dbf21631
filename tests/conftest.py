"""Settings of all tests."""

import os
from collections.abc import Generator, Iterator

import pytest
import torch
from postgresql import ON_POSTGRESQL, Server, running

if not torch.cuda.is_available():
    # Triton decides when it is first imported whether its kernels are interpreted
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled schemas of this session only, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server; where none can be started, its tests are skipped."""
    try:
        with running() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(f"{error}: apt-get install postgresql")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On PostgreSQL, leave out what is about SQLite's own files."""
    for item in items:
        if ON_POSTGRESQL and item.get_closest_marker("sqlite"):
            item.add_marker(pytest.mark.skip(reason="it is about the files of SQLite"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logged may hold a file's name that is no UTF-8, which the processes that share
    the tests out among them cannot send each other."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
