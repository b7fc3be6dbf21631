"""Recordings: what happened in a run, event by event with its times, to be played again.

One file a run, `.gesso/recordings/RUN.jsonl`, an event a line as the control API tells it. They are
made while `recordings = true` stands in `gesso.toml`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .errors import ProjectError
from .events import Events
from .plain import plain

FOLDER = "recordings"


@contextmanager
def recorded(events: Events, state: Path) -> Iterator[None]:
    """Every run's events inside go to its file in a folder of state."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = threading.Lock()
    (begin,) = events.after(None)
    last = begin.id

    def write() -> None:
        nonlocal last
        with lock:
            for one in events.after(last):
                last = one.id
                if one.run is not None:
                    line = json.dumps(asdict(one), ensure_ascii=False, default=plain)
                    with (folder / f"{one.run}.jsonl").open("a", encoding="utf-8") as file:
                        file.write(f"{line}\n")

    with events.told(write):
        yield


def recording(state: Path, name: str) -> list[dict[str, Any]]:
    """The events of a run, or of the only one that begins so; `name` may be a file too.

    Raises:
        ProjectError: there is no such recording.
    """
    file = Path(name)
    if not file.is_file():
        found = sorted((state / FOLDER).glob(f"{name}*.jsonl"))
        if len(found) != 1:
            what = f"{len(found)} recordings begin so" if found else "there is no such recording"
            raise ProjectError(f"{name}: {what}; recordings = true in gesso.toml makes them")
        file = found[0]
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ProjectError(f"{file}: is no recording: {error}") from None
