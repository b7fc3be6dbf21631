"""A document job killed at random moments, by `make campaigns`: the output is, byte for byte, that
of a job that nobody disturbed, and nothing is paid for twice.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gesso.engine.training.documents import example
from gesso.memory import Store

KILLS = int(os.environ.get("JOB_KILLS", "20"))
SEED = int(os.environ.get("JOB_SEED", "1"))
DOCUMENTS = 120
FIELDS = "company, date: date, total"


def gesso(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gesso.agent", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_job_that_is_killed_again_and_again_writes_the_same_bytes(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    (tmp_path / "in").mkdir()
    for number in range(DOCUMENTS):
        document = example(rng, "heldout", "receipt").document
        (tmp_path / "in" / f"{number:03}.txt").write_text(document)
    (tmp_path / "in" / "broken.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "calm").mkdir()
    whole = tmp_path / "whole.jsonl"
    calm = gesso(tmp_path, "extract", FIELDS, "in", "-o", str(whole), "--project", "calm")
    calm.communicate()
    assert calm.returncode == 1  # the broken one

    begun = gesso(tmp_path, "extract", FIELDS, "in", "-o", "out.jsonl", "--progress", "none")
    kills = 0
    while kills < KILLS:
        # Now while it starts, now in the middle of a chunk, now between two.
        time.sleep(rng.uniform(0.5, 9.0))
        if begun.poll() is not None:
            break
        begun.kill()
        begun.communicate()
        kills += 1
        jobs = json.loads(gesso(tmp_path, "jobs", "list", "--json").communicate()[0] or "[]")
        if not jobs or jobs[-1]["documents"] is None:
            arguments = ("extract", FIELDS, "in", "-o", "out.jsonl", "--progress", "none")
        else:
            arguments = ("jobs", "resume", jobs[-1]["id"], "--progress", "none")
        begun = gesso(tmp_path, *arguments)
    begun.communicate()
    print(f"{kills} kills")
    assert kills >= min(KILLS, 5)
    assert (tmp_path / "out.jsonl").read_bytes() == whole.read_bytes()
    with Store(tmp_path / ".gesso" / "store.db") as store:
        paid = [entry.key for job in store.jobs.all() for entry in store.ledger.entries(run=job.id)]
    assert len(paid) == len(set(paid)) <= DOCUMENTS + 1
