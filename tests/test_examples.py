"""The scripts in `examples/` do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_totals_of_a_folder_are_told_by_vendor() -> None:
    script = ROOT / "examples" / "invoices.py"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 15
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "examples/invoices/4.pdf: is no whole PDF" in done.stdout
    sums = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert sorted(sums) == ["24.30", "25.75"]
