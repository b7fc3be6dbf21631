"""A process that is killed: `python victim.py PROJECT SCENARIO TOOL`.

It kills itself at the scenario's point, the first time it gets there, with SIGKILL; started
again, it finds the run and finishes it, or leaves it to the person. Every tool call that finishes
leaves one line. `note_again` is a tool that says it may be made again; `note` is not.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from gesso.agent import Runtime
from gesso.engine import Request, Result
from gesso.tools import Context, tool
from scripted import calls, engine, says

project, scenario, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def die_once_at(point: str) -> None:
    marker = project / f"{point}.reached"
    if point == scenario and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def write(line: str, context: Context) -> str:
    with (project / "begun.txt").open("a") as begun:
        begun.write(f"{line}\n")
    if line == "second":
        die_once_at("in the middle of a call")
    with (project / "notes.txt").open("a") as notes:
        notes.write(f"{line}\n")
    if line == "second":
        die_once_at("before the checkpoint")
    return f"noted {line} as {context.key}"


@tool
def note(line: str, context: Context) -> str:
    """Write a line to the notes."""
    return write(line, context)


@tool(idempotent=True)
def note_again(line: str, context: Context) -> str:
    """Write a line to the notes; twice does no harm."""
    return write(line, context)


def third_turn(request: Request) -> Result:
    with (project / "seeds.txt").open("a") as seeds:
        seeds.write(f"{request.seed}\n")
    die_once_at("between two calls")
    return calls((name, {"line": "third"}))


scripted = engine(
    calls((name, {"line": "first"}), (name, {"line": "second"})), third_turn, says("done")
)
with Runtime(project, engine=scripted, tools=[note, note_again]) as runtime:
    runtime.load()
    if not runtime.store.runs():
        runtime.run("clerk", "hello")
    while True:
        runtime.deliver()
        if runtime.store.runs()[0].state in ("done", "failed", "stopped", "waiting"):
            break
        time.sleep(0.05)
