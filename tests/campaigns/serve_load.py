"""Many clients on `gesso serve` for a while: is a request lost, mixed up, or turned away wrongly?

    OMP_NUM_THREADS=1 python tests/campaigns/serve_load.py --clients 64 --seconds 60

The server is a process of its own, with fewer places than there are clients. Each client asks for
what only its request can be answered with (one of a few words, drawn anew each time), whole or
streamed; who is turned away waits as long as it is told. Beside them, some hang up in the middle,
close half of their connection, or read nothing. Printed at the end: requests by what became of
them, seconds to an answer, and the server's memory as it rose. Exit code 1 where an answer was lost
or another's, a refusal lacked `Retry-After`, or memory rose by more than `--most` MB in the second
half.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

CHAT = "/v1/chat/completions"
LONG = {"type": "string", "minLength": 2000}
WORDS = [f"{one}{other}" for one in ("ba", "ke", "li", "mo", "tu") for other in "nrstz"]


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "word", "schema": schema}}


class Load:
    """What the clients did, together."""

    def __init__(self, url: str, until: float) -> None:
        self.url, self.until = url, until
        self.counts: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def count(self, what: str, seconds: float | None = None) -> None:
        with self._lock:
            self.counts[what] += 1
            if seconds is not None:
                self.seconds.append(seconds)

    def blame(self, what: str) -> None:
        with self._lock:
            self.wrong.append(what)

    def ask(self, number: int) -> None:
        """One well-behaved client, until the end."""
        rng = random.Random(number)
        with httpx.Client(base_url=self.url, timeout=120) as client:
            while time.monotonic() < self.until:
                # No two requests at a time allow the same words.
                allowed = [f"{word}-{number}" for word in rng.sample(WORDS, 3)]
                body: dict[str, Any] = {
                    "model": "sketch",
                    "messages": [{"role": "user", "content": f"One of {allowed}"}],
                    "response_format": form({"enum": allowed}),
                    "stream": rng.random() < 0.5,
                }
                began = time.monotonic()
                try:
                    answer = client.post(CHAT, json=body)
                except httpx.HTTPError as error:
                    self.blame(f"lost: {type(error).__name__}: {error}")
                    continue
                if answer.status_code == 429:
                    self.count("turned away")
                    after = answer.headers.get("retry-after", "")
                    if not after.isdecimal():
                        self.blame("a refusal without Retry-After")
                    left = self.until - time.monotonic()
                    time.sleep(max(0.0, min(float(after or 1), left)))
                    continue
                text = said(answer) if answer.status_code == 200 else answer.text
                if text in map(json.dumps, allowed):
                    self.count("answered", time.monotonic() - began)
                else:
                    self.blame(f"{answer.status_code}, asked for {allowed}: {text[:200]}")

    def misbehave(self, number: int, how: str, go: Callable[[socket.socket], None]) -> None:
        """One client that has long answers begun, and does this to each."""
        rng = random.Random(-number)
        host, port = self.url.removeprefix("http://").split(":")
        ask = [{"role": "user", "content": "?"}]
        body = {"model": "sketch", "messages": ask, "response_format": form(LONG), "stream": True}
        data = json.dumps(body).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
        while time.monotonic() < self.until:
            with socket.create_connection((host, int(port)), timeout=120) as connection:
                connection.sendall(head.encode() + data)
                status = connection.recv(12)
                if status == b"HTTP/1.1 200":
                    time.sleep(rng.random())
                    go(connection)
                    self.count(how)
                elif status != b"HTTP/1.1 429":
                    self.blame(f"{how}: {status!r}")
            time.sleep(rng.random() + 0.5)


def said(answer: httpx.Response) -> str:
    """The text of an answer, whole or streamed."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return answer.json()["choices"][0]["message"]["content"]
    events = [line[6:] for line in answer.text.split("\n") if line.startswith("data: {")]
    if "data: [DONE]" not in answer.text:
        return "a stream that was cut: " + answer.text
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    return "".join(delta.get("content", "") for delta in deltas)


def megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--most", type=float, default=20, help="MB that memory may rise by")
    given = parser.parse_args()
    command = [sys.executable, "-m", "gesso.agent", "serve", "--port", "0"]
    command += ["--waiting", str(given.waiting)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert server.stderr is not None
    url = ""
    while not url:
        url = "".join(re.findall(r"served at (\S+)/v1", server.stderr.readline()))
    log: list[str] = []
    threading.Thread(target=lambda: log.extend(server.stderr or ()), daemon=True).start()
    load = Load(url, time.monotonic() + given.seconds)
    threads = [threading.Thread(target=load.ask, args=(n,)) for n in range(given.clients)]
    bad: dict[str, Callable[[socket.socket], None]] = {
        "hung up": lambda one: None,
        "half closed": lambda one: one.shutdown(socket.SHUT_WR),
        "read nothing for a while": lambda one: time.sleep(3),
    }
    for number, (how, go) in enumerate(bad.items()):
        threads.append(threading.Thread(target=load.misbehave, args=(number, how, go)))
    for thread in threads:
        thread.start()
    memory: list[float] = []
    while any(thread.is_alive() for thread in threads):
        memory.append(megabytes(server.pid))
        time.sleep(1)
    time.sleep(1)
    began = time.monotonic()
    free = httpx.get(f"{url}/v1/models", timeout=10).status_code
    print(f"clients {given.clients}, seconds {given.seconds:g}, places 8 + {given.waiting}")
    for what, count in sorted(load.counts.items()):
        print(f"{what}: {count}")
    if load.seconds:
        middle, late = np.percentile(load.seconds, [50, 99])
        print(f"seconds to an answer: median {middle:.2f}, 99th percentile {late:.2f}")
    print(f"answers a second: {len(load.seconds) / given.seconds:.1f}")
    half = memory[len(memory) // 2 :]
    rose = max(half[-3:]) - min(half[:3])
    print(f"memory: {memory[0]:.0f} MB, half-way {half[0]:.0f}, at the end {half[-1]:.0f}")
    print(f"wrong: {len(load.wrong)}")
    for what in load.wrong[:5]:
        print(f"  {what}")
    server.terminate()
    code = server.wait(60)
    print(f"stopped in {time.monotonic() - began:.1f} s with {code}; then it answered {free}")
    lines = [line for line in log if "error" in line or "Traceback" in line]
    print("".join(lines[:5]), end="")
    if load.wrong or rose > given.most or code or lines:
        sys.exit(1)


if __name__ == "__main__":
    main()
