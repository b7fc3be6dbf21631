"""Twenty agents on `sketch` for a while: does memory grow, and how soon is a trigger taken up?

    python tests/campaigns/soak.py --minutes 3

Files, messages, intervals and webhooks start runs at a rate that the machine bears. Printed at the
end: runs by state, triggers that were lost or doubled, the time from a trigger to the start of its
run, and how the process's memory rose over the second half, by thousand runs. Exit code 1 where a
trigger was lost or doubled, or memory rose by more than `--most` MB a thousand runs. Fewer than a
thousand runs are too few for a slope: in them, memory may rise by 100 MB in all.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from gesso.agent import Runtime
from gesso.agent.settings import Settings
from gesso.agent.webhook import sign
from gesso.memory import Letter, Run, Store

SECRET = "a-secret-for-the-soak"
RECORD = """\
record:
  company: {type: string, description: Company}
  total: {type: number, description: Total}
"""
READ = (
    """\
---
name: NAME
triggers: [{folder: NAME, pattern: "*.txt"}]
tools: [read_file, save_record]
"""
    + RECORD
    + """\
---
Read the file, then save its record.
"""
)
TOLD = (
    """\
---
name: NAME
triggers: [TRIGGER]
secrets: [SOAK_SECRET]
tools: [save_record]
"""
    + RECORD
    + """\
---
Save the record of the document.
"""
)
RECEIPT = "{name} Market\n{number} Mill Lane\n\nMilk  2.00\nBread  {number}.00\nTotal  {total}.00"


class Soak:
    """`sent` has the time of each trigger, by what its run is known by: its name, trigger or
    input."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.sent: dict[str, float] = {}
        self.memory: list[tuple[int, float]] = []  # runs begun, megabytes

    def write_agents(self, interval: str) -> None:
        (self.folder / "agents").mkdir(parents=True)
        for n in range(20):
            kind = "reader" if n < 6 else "told" if n < 12 else "hooked" if n < 16 else "timed"
            name = f"{kind}-{n}"
            message = json.dumps(receipt("Clock", n))
            trigger = {
                "reader": "",
                "told": "",
                "hooked": f"{{webhook: {name}, secret: SOAK_SECRET}}",
                "timed": f"{{every: {interval}, message: {message}}}",
            }[kind]
            if kind == "reader":
                (self.folder / name).mkdir()
            text = (READ if kind == "reader" else TOLD).replace("NAME", name)
            text = text.replace("TRIGGER", trigger)
            (self.folder / "agents" / f"{name}.md").write_text(text)

    def pull(self, store: Store, client: httpx.Client, number: int) -> None:
        """Start one run, by a file, a message or a delivery."""
        kind = self.rng.choice(["file", "message", "message", "webhook", "webhook"])
        text = receipt(self.rng.choice(["North", "Hill"]), number)
        if kind == "file":
            name = f"reader-{self.rng.randrange(6)}"
            self.sent[f"file {name}/{number}.txt"] = time.time()
            (self.folder / name / f"{number}.txt").write_text(text)
        elif kind == "message":
            name = f"told-{self.rng.randrange(6, 12)}"
            self.sent[text] = time.time()
            store.mail.post(Letter(f"m{number}", name, "person", text, datetime.now(UTC)))
        else:
            name = f"hooked-{self.rng.randrange(12, 16)}"
            body = json.dumps({"text": text}).encode()
            at = time.time()
            headers = {"X-Hub-Signature-256": sign(SECRET, body)}
            answer = client.post(f"/hooks/{name}", content=body, headers=headers)
            answer.raise_for_status()
            self.sent[answer.json()["run"]] = at

    def pulled(self, run: Run) -> float | None:
        """When the trigger of a run was pulled; `None` of one that the clock started."""
        keys = (run.id, run.trigger, run.input)
        return next((self.sent[key] for key in keys if key in self.sent), None)


def receipt(name: str, number: int) -> str:
    return RECEIPT.format(name=name, number=number, total=number + 2)


def megabytes() -> float:
    """The memory of this process that is in use."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(folder: Path, minutes: float, every: float, seed: int) -> dict[str, Any]:
    """Let the agents work; what was seen."""
    work = Soak(folder, seed)
    work.write_agents(interval="30s")
    os.environ["SOAK_SECRET"] = SECRET
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        Runtime(folder, settings=Settings(web_port=port)) as runtime,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        runtime.load()
        runtime.engine("sketch")
        stop = threading.Event()
        watching = threading.Thread(target=runtime.watch, args=(stop,))
        watching.start()
        time.sleep(2)  # until the webhooks are listened for
        end = time.monotonic() + 60 * minutes
        number = 0
        while time.monotonic() < end:
            work.pull(runtime.store, client, number)
            number += 1
            if number % 5 == 0:
                runs = sum(runtime.store.run_counts().values())
                work.memory.append((runs, megabytes()))
            time.sleep(work.rng.expovariate(1 / every))
        time.sleep(3)  # until the last file has settled
        stop.set()
        watching.join()
        while {"queued", "running"} & set(runtime.store.run_counts()):
            time.sleep(0.2)
        return seen(work, runtime.store.runs())


def seen(work: Soak, runs: Sequence[Run]) -> dict[str, Any]:
    begun = [(run, at) for run in runs if (at := work.pulled(run)) is not None]
    waits = [run.started.timestamp() - at for run, at in begun if run.started is not None]
    triggers = len({at for _, at in begun})
    count, used = np.array(work.memory[len(work.memory) // 2 :]).T
    slope = np.polyfit(count / 1000, used, 1)[0]
    return {
        "runs": dict(Counter(run.state for run in runs)),
        "why not done": dict(Counter(run.reason for run in runs if run.state != "done")),
        "triggers": len(work.sent),
        "lost": len(work.sent) - triggers,
        "doubled": len(begun) - triggers,
        "by the clock": len(runs) - len(begun),
        "seconds to start, median": round(float(np.median(waits)), 2),
        "seconds to start, p95": round(float(np.quantile(waits, 0.95)), 2),
        "megabytes, first and last": [round(work.memory[n][1], 1) for n in (0, -1)],
        "megabytes per 1,000 runs": round(float(slope), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--every", type=float, default=2.5, help="seconds between triggers, mean")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=float, default=1.0, help="megabytes per 1,000 runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), options.minutes, options.every, options.seed)
    print(json.dumps(found, indent=2))
    first, last = found["megabytes, first and last"]
    long = sum(found["runs"].values()) >= 1000
    risen = found["megabytes per 1,000 runs"] > options.most if long else last - first > 100
    return int(bool(found["lost"] or found["doubled"] or risen))


if __name__ == "__main__":
    sys.exit(main())
