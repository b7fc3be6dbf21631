"""The command line. One file a group of commands; each command is a thin function that imports
what it needs when it runs, so that `gesso --help` is quick.

Exit codes: 0 done, 1 a failure, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback

import typer

from .bench import bench
from .config import config
from .cost import cost
from .demo import demo
from .doctor import doctor
from .exits import exit_code, message
from .extract import extract
from .generate import generate
from .inbox import approve, deny, inbox
from .jobs import jobs
from .mcp import mcp
from .memory import memory
from .models import models
from .new import new
from .review import review
from .run import run
from .runs import cancel, logs, pause, resume, runs, trace
from .serve import serve
from .service import service
from .status import status
from .stop import stop
from .tell import tell
from .up import up
from .watch import watch

app = typer.Typer(
    name="gesso",
    help="A local agent runtime built on diffusion generation.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands = (
    demo,
    new,
    run,
    up,
    watch,
    stop,
    status,
    tell,
    generate,
    extract,
    review,
    mcp,
    serve,
    bench,
    config,
    doctor,
)
for command in commands:
    app.command()(command)
for command in (inbox, approve, deny, runs, logs, trace, pause, resume, cancel):
    app.command(rich_help_panel="What runs")(command)
app.add_typer(cost)
app.add_typer(jobs)
app.add_typer(memory)
app.add_typer(models)
app.add_typer(service)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """A local agent runtime built on diffusion generation."""


def main() -> None:
    try:
        code = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        code = exit_code(error)
        if code is None or "--debug" in sys.argv:
            traceback.print_exc()
        else:
            print(f"error: {message(error)}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if code == 130:
        os._exit(130)  # a step that is still running is not waited for: it runs again
    sys.exit(code or 0)
