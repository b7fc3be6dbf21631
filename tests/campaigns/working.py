"""A worker on a project: `python working.py PROJECT`, until it is killed or told to end.

Its agent's turns are told; its tools leave a line when they begin and when they end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import cast

from gesso.agent import Runtime
from gesso.engine import Engine, Request, Result, ToolCall, Usage
from gesso.tools import Context, tool

BLINK = 0.01


def leave(what: str, context: Context) -> None:
    with (context.workspace.root / "effects.txt").open("a") as effects:
        effects.write(f"{what} {context.key} {os.getpid()}\n")


@tool
def pay(bill: int, context: Context) -> str:
    """Pay once."""
    leave("begin", context)
    time.sleep(BLINK)
    leave("end", context)
    return "paid"


class Told:
    """Two turns of calls, then an answer."""

    name = "told"
    device = "cpu"
    context_length = 100_000
    sees = False

    def generate(self, request: Request) -> Result:
        time.sleep(BLINK)
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn == 2:
            return Result("done", usage=Usage(output_tokens=1))
        call = ToolCall("pay", {"bill": turn})
        return Result("", tool_calls=[call], usage=Usage(output_tokens=1))


def work(project: Path) -> None:
    with Runtime(project, engine=cast(Engine, Told()), tools=[pay]) as runtime:
        runtime.load()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        working = threading.Thread(target=runtime.work, args=(stop,))
        working.start()
        print("works", flush=True)
        while working.is_alive():
            working.join(0.1)  # in naps, so that the signal is heard


if __name__ == "__main__":
    work(Path(sys.argv[1]))
