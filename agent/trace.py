"""What a run did, read from the store: turn by turn, or line by line in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..memory import Event, LedgerEntry, Run, Store, StoredMessage
from ..tools.permissions import call_text
from .errors import ProjectError


@dataclass(frozen=True)
class TracedCall:
    """A call as the model wrote it, what became of it, and the result that the model was told;
    `None` while there is none."""

    text: str
    events: Sequence[Event]
    result: str | None


@dataclass(frozen=True)
class TracedTurn:
    """One generation. `added` is what the prompt had that the one before had not; `usage` is `None`
    where the turn was not metered."""

    number: int
    added: Sequence[StoredMessage]
    text: str
    calls: Sequence[TracedCall]
    usage: LedgerEntry | None


@dataclass(frozen=True)
class Trace:
    run: Run
    turns: Sequence[TracedTurn]


@dataclass(frozen=True)
class Line:
    at: datetime
    what: str


def run_of(store: Store, name: str) -> Run:
    """The run of a name, or of the only one that begins so. Raises `ProjectError`."""
    found = store.run(name)
    if found is not None:
        return found
    alike = [run for run in store.runs() if run.id.startswith(name)]
    if len(alike) != 1:
        what = f"{len(alike)} runs begin so" if alike else "there is no such run"
        raise ProjectError(f"{name}: {what}; see gesso runs")
    return alike[0]


def trace(store: Store, run: Run) -> Trace:
    """Turn by turn: prompt, answer, calls, results, usage."""
    usages: dict[int, LedgerEntry] = {}
    for entry in store.ledger.entries(run=run.id):
        turn, more = _place(run, entry)
        if more != "summary":
            usages.setdefault(turn, entry)
    events: dict[str, list[Event]] = {}
    for event in store.audit.events(run=run.id):
        events.setdefault(event.call, []).append(event)
    turns: list[TracedTurn] = []
    added: list[StoredMessage] = []
    messages = store.messages(run.id)
    for position, message in enumerate(messages):
        if message.role != "assistant":
            added.append(message)
            continue
        number = len(turns)
        results = _results(messages[position + 1 :])
        calls = [
            TracedCall(
                call_text(call["name"], call["arguments"]),
                events.get(f"{run.id}/{number}/{n}", ()),
                results[n] if n < len(results) else None,
            )
            for n, call in enumerate(message.tool_calls)
        ]
        turns.append(TracedTurn(number, added, message.content, calls, usages.get(number)))
        added = []
    return Trace(run, turns)


def history(store: Store, run: Run) -> list[Line]:
    """Line by line: when it was queued, each turn, each event, each word of the person, the end."""
    lines = [Line(run.queued, f"queued: {run.trigger}")]
    if run.started is not None:
        lines.append(Line(run.started, f"started: {run.model}"))
    for entry in store.ledger.entries(run=run.id):
        tokens = f"{entry.prompt_tokens} + {entry.output_tokens} tokens"
        seconds = entry.prefill_seconds + entry.denoising_seconds
        steps = f"{entry.denoising_steps} steps, {seconds:.2f} s"
        turn, more = _place(run, entry)
        what = "summary before turn" if more == "summary" else "turn"
        lines.append(Line(entry.at, f"{what} {turn + 1}: {tokens}, {steps}"))
    for event in store.audit.events(run=run.id):
        detail = f": {event.detail}" if event.detail else ""
        lines.append(Line(event.at, f"{event.kind}: {event.text}{detail}"))
    for asked in store.inbox.entries(open_only=False, run=run.id):
        lines.append(Line(asked.asked, f"inbox {asked.id}: {asked.kind}: {asked.text}"))
        if asked.decided is not None:
            note = f": {asked.note}" if asked.note else ""
            lines.append(Line(asked.decided, f"inbox {asked.id}: {asked.verdict}{note}"))
    if run.ended is not None:
        lines.append(Line(run.ended, f"{run.state}{f': {run.reason}' if run.reason else ''}"))
    return sorted(lines, key=lambda line: line.at)


def _results(after: Sequence[StoredMessage]) -> list[str]:
    """The results between a turn and the next one."""
    results = []
    for message in after:
        if message.role == "assistant":
            break
        if message.role == "tool":
            results.append(message.content)
    return results


def _place(run: Run, entry: LedgerEntry) -> tuple[int, str]:
    """The turn that a ledger's entry is about, counted from zero, and what its key says beyond:
    `summary` for one of what came before, else the run's part where that is not the first."""
    turn, _, more = entry.key.removeprefix(f"{run.id}/").partition("/")
    return int(turn), more
