"""A folder of documents, and an engine that reads them by rule."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FIELDS = "company, date: date, total"


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven receipts and one file that is none, in a working folder of their own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(7):
        text = f"SHOP {number} LTD\n{number + 1:02}/03/2026\n\nMilk 2.00\nTOTAL {number + 2}.50\n"
        (folder / f"{number}.txt").write_text(text)
    (folder / "4-broken.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    return folder


@pytest.fixture
def gesso(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, as a person runs it in the working folder."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gesso.agent", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            timeout=120,
            **options,
        )

    return run
