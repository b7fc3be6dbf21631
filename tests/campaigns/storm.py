"""Ten thousand requests of many clients, a third of them given up: is one lost, mixed up, or left
in memory?

    OMP_NUM_THREADS=1 python tests/campaigns/storm.py --requests 10000 --clients 24

All ask one engine, in one process, under names and priorities of their own. What each request is
answered with when it is alone is known, and must be what it is answered with in company; who gives
up is told so, or has the answer. Printed: requests by what became of them, and every thousand the
process's memory (after what was freed is handed back) and how many objects Python has. Exit code 1
where an answer was lost or another's, or memory rose by more than `--most` MB a thousand requests
in the second half.
"""

from __future__ import annotations

import argparse
import gc
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gesso.agent.allocator import give_back
from gesso.engine import (
    Engine,
    Message,
    Request,
    ToolDeclaration,
    TurnCancelledError,
    choice,
    json_schema,
    load_engine,
    regex,
)

RECORD = {
    "type": "object",
    "properties": {"kind": {"enum": ["bill", "ticket"]}, "total": {"type": "number"}},
    "required": ["kind", "total"],
}
SAVE = ToolDeclaration("save_record", "Save it.", RECORD)
WORDS = ["TOTAL", "4.50", "CASH", "Norwich", "loaf", "ticket", "12.00", "bill"]
PRIORITIES: Sequence[Literal["high", "normal", "low"]] = ("high", "normal", "low")
GIVEN_UP = 0.35
END_SECONDS = 120.0


@dataclass(frozen=True)
class Sample:
    """What the process had after so many requests."""

    requests: int
    megabytes: float
    objects: int


class Storm:
    """What the clients did, together."""

    def __init__(self, engine: Engine, requests: int) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self._engine = engine
        self._left = requests
        self._lock = threading.Lock()
        rng = random.Random(1)
        self._asked = [_drawn(rng, number) for number in range(40)]
        self._expected = [engine.generate(request).text for request in self._asked]

    def client(self, number: int) -> None:
        rng = random.Random(number)
        while self._take():
            which = rng.randrange(len(self._asked))
            request = replace(
                self._asked[which],
                owner=f"client {rng.randrange(6)}",
                priority=rng.choice(PRIORITIES),
            )
            ticket = self._engine.submit(self._engine.prepare(request))
            gives_up = rng.random() < GIVEN_UP
            if gives_up:
                time.sleep(rng.random() * rng.choice([0.0, 0.05, 0.5]))
                ticket.cancel()
            try:
                text = ticket.outcome.result(timeout=END_SECONDS).text
                self._count("answered" if text == self._expected[which] else "another's answer")
            except TurnCancelledError:
                self._count("given up" if gives_up else "given up by nobody")
            except TimeoutError:
                self._count("lost")
            except Exception as error:
                self._count(f"{type(error).__name__}: {error}")

    @property
    def wrong(self) -> int:
        return sum(self.counts.values()) - self.counts["answered"] - self.counts["given up"]

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1
            done = sum(self.counts.values())
        if done % 1000 == 0:
            gc.collect()
            give_back()
            self.samples.append(Sample(done, _megabytes(), len(gc.get_objects())))
            print(self.samples[-1], flush=True)


def _drawn(rng: random.Random, number: int) -> Request:
    asked = " ".join(rng.choices(WORDS, k=rng.randint(1, 120)))
    request = Request([Message("user", asked)], seed=number, max_tokens=64)
    kinds = (choice(["one", "two", "three hundred"]), regex("[0-9]{3,9}"), json_schema(RECORD))
    if number % 4 == 3:
        return replace(request, tools=[SAVE], tool_choice="required", most_calls=1)
    return replace(request, constraint=kinds[number % 4])


def _megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def rise(samples: Sequence[Sample]) -> float:
    """Megabytes a thousand requests, over the second half."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        return 0.0
    first, last = half[0], half[-1]
    return 1000 * (last.megabytes - first.megabytes) / (last.requests - first.requests)


def storm(engine: Engine, *, requests: int, clients: int) -> Storm:
    """Have so many clients ask until so many requests have ended."""
    found = Storm(engine, requests)
    threads = [threading.Thread(target=found.client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--most", type=float, default=1.0, metavar="MB")
    options = parser.parse_args()
    began = time.monotonic()
    found = storm(load_engine("sketch"), requests=options.requests, clients=options.clients)
    print(f"{options.requests} requests in {time.monotonic() - began:.0f} s: {dict(found.counts)}")
    risen = rise(found.samples)
    print(f"memory: {risen:+.2f} MB a thousand requests over the second half")
    return 1 if found.wrong or risen > options.most else 0


if __name__ == "__main__":
    sys.exit(main())
