"""A project that is up for a moment: `python crashing.py PROJECT SECONDS RUNS`, then SIGKILL.

Its agent's turns are told; its tools leave a line when they begin and when they end. It ends by
itself, with exit code 0, once every run has ended or waits for the person.
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

project, life, runs = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
BLINK = 0.01


def leave(line: str) -> None:
    with (project / "effects.txt").open("a") as effects:
        effects.write(f"{line}\n")


@tool
def pay(bill: int, context: Context) -> str:
    """Pay once."""
    leave(f"begin pay {context.key}")
    time.sleep(BLINK)
    leave(f"end pay {context.key}")
    return "paid"


@tool(idempotent=True)
def look(at: int, context: Context) -> str:
    """Look."""
    leave(f"begin look {context.key}")
    time.sleep(BLINK)
    leave(f"end look {context.key}")
    return f"seen {context.key}"


class Told:
    """Three turns of calls, then an answer."""

    name = "told"
    device = "cpu"
    context_length = 100_000
    sees = False

    def generate(self, request: Request) -> Result:
        time.sleep(BLINK)
        turn = sum(message.role == "assistant" for message in request.messages)
        turns = [[("look", "at", 1), ("pay", "bill", 1)], [("pay", "bill", 2)], [("look", "at", 2)]]
        if turn == len(turns):
            return Result("done", usage=Usage(output_tokens=1))
        calls = [ToolCall(name, {argument: value}) for name, argument, value in turns[turn]]
        return Result("", tool_calls=calls, usage=Usage(output_tokens=1))


def kill() -> None:
    time.sleep(life)
    os.kill(os.getpid(), signal.SIGKILL)


with Runtime(project, engine=cast(Engine, Told()), tools=[pay, look]) as runtime:
    runtime.load()
    stop = threading.Event()
    threading.Thread(target=kill, daemon=True).start()
    watching = threading.Thread(target=runtime.watch, args=(stop,))
    watching.start()
    while True:
        states = [run.state for run in runtime.store.runs()]
        if len(states) == runs and not {"queued", "running", "retrying"} & set(states):
            break
        time.sleep(0.05)
    stop.set()
    watching.join()
