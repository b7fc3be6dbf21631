"""`gesso runs`, `logs`, `trace`, and the person's hand on a run: `pause`, `resume`, `cancel`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from .options import Json, Project
from .project import opened_store, when_up

if TYPE_CHECKING:
    from ...memory import RunState, Wanted

LINE_LENGTH = 201

RunName = Annotated[str, typer.Argument(metavar="RUN", help="The run, or how its name begins.")]


def runs(
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Of one agent.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="In one state.")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="The last so many.")] = 20,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """The runs, the newest last."""
    from ...memory import RunState
    from .output import print_json, print_table, shortened

    if state is not None and state not in get_args(RunState):
        raise typer.BadParameter(f"{state}: no such state; {', '.join(get_args(RunState))}")
    with opened_store(project) as store:
        found = store.runs(agent=agent, state=cast("RunState | None", state))[-limit:]
    if as_json:
        print_json([asdict(run) for run in found])
        return
    print_table(
        "Runs",
        ("run", "trigger", "queued", "state", "reason"),
        [
            (
                run.id,
                run.trigger,
                f"{run.queued.astimezone():%d %b %H:%M:%S}",
                run.state,
                shortened(run.reason),
            )
            for run in found
        ],
    )


def logs(run: RunName, project: Project = Path(), as_json: Json = False) -> None:
    """What happened in a run, line by line; `trace` has the results whole."""
    from ..trace import history, run_of
    from .output import print_json, print_lines, shortened

    with opened_store(project) as store:
        lines = history(store, run_of(store, run))
    if as_json:
        print_json([asdict(line) for line in lines])
        return
    for line in lines:
        what = " ".join(shortened(line.what, LINE_LENGTH).split())
        print_lines(f"{line.at.astimezone():%Y-%m-%d %H:%M:%S} {what}")


def trace(run: RunName, project: Project = Path(), as_json: Json = False) -> None:
    """A run turn by turn: prompt, answer, calls, results, usage."""
    from ..trace import run_of
    from ..trace import trace as traced
    from .output import print_json, print_lines

    with opened_store(project) as store:
        found = traced(store, run_of(store, run))
    if as_json:
        print_json(asdict(found))
        return
    reason = f": {found.run.reason}" if found.run.reason else ""
    print_lines(f"{found.run.id}: {found.run.state}{reason}")
    for turn in found.turns:
        print(f"\n--- turn {turn.number + 1}")
        for message in turn.added:
            if message.role != "tool":
                print_lines(f"{message.role}: {message.content}")
        if turn.text:
            print_lines(f"assistant: {turn.text}")
        for call in turn.calls:
            print_lines(f"call: {call.text}")
            for event in call.events:
                if event.kind in ("ask", "deny", "failed"):
                    print_lines(f"{event.kind}: {event.detail}", "  ")
            print_lines(f"result: {'(none yet)' if call.result is None else call.result}")
        if turn.usage is not None:
            used = turn.usage
            seconds = used.prefill_seconds + used.denoising_seconds
            print(
                f"usage: {used.prompt_tokens} prompt ({used.cached_tokens} cached) and "
                f"{used.output_tokens} output tokens, {used.canvases} canvases, "
                f"{used.denoising_steps} steps, {seconds:.2f} s"
            )


def pause(run: RunName, project: Project = Path()) -> None:
    """Hold a run until it is resumed: at its next step, or at once where it waits."""
    _want(run, "pause", project)


def cancel(run: RunName, project: Project = Path()) -> None:
    """End a run for good: at its next step, or at once where it waits."""
    _want(run, "cancel", project)


def resume(run: RunName, project: Project = Path()) -> None:
    """Let a run go on that was paused or stopped, or that failed."""
    from ..errors import ProjectError
    from ..trace import run_of

    with opened_store(project) as store:
        found = run_of(store, run)
        if not store.resume(found.id):
            raise ProjectError(f"{found.id}: is {found.state}, and cannot be resumed")
    print(f"{found.id} goes on{when_up(project)}")


def _want(run: str, wanted: Wanted, project: Path) -> None:
    from ..errors import ProjectError
    from ..trace import run_of

    with opened_store(project) as store:
        found = run_of(store, run)
        changed = store.want(found.id, wanted, at=datetime.now(UTC))
        found = run_of(store, found.id)
    if not changed and found.wanted is None:
        raise ProjectError(f"{found.id}: has ended: it is {found.state}")
    if found.wanted is None:
        print(f"{found.id} is {found.state}")
    else:
        what = "paused" if found.wanted == "pause" else "cancelled"
        print(f"{found.id} is {what} at its next step")
