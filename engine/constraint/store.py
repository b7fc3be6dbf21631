"""Compiled schemas on disk, so that a process that starts again does not compile them again.

One file a schema in the user's cache folder (`$XDG_CACHE_HOME/gesso/schemas`), named by a hash of
the schema and of this package's own source: what another version compiled is never found. Only
what took long to compile is kept, and of that the files that were last used. Lifting to a
vocabulary takes less time than reading a file of it would, so that is not stored.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from .bodies import Body
from .dfa import Dfa, Place
from .schema import Compiled

log = logging.getLogger("gesso")

WORTH_SECONDS = 0.05
MOST_FILES = 256
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def stored(text: str, compile_: Callable[[], Compiled]) -> Compiled:
    """What a schema's text compiles to: from its file, or made and, where that took long, kept.

    A file that cannot be read is made anew, a folder that cannot be written to does without; both
    are logged.
    """
    folder = _folder()
    if folder is None:
        return compile_()
    file = folder / f"{hashlib.sha256(f'{_version()} {text}'.encode()).hexdigest()}.npz"
    try:
        found = _read(file)
        with suppress(OSError):  # a folder that others look after is only read
            os.utime(file)
        return found
    except (FileNotFoundError, NotADirectoryError):
        pass
    except _UNREADABLE as error:
        log.warning("%s: not a compiled schema (%s): made anew", file, error)
    began = time.perf_counter()
    compiled = compile_()
    if time.perf_counter() - began >= WORTH_SECONDS:
        try:
            _write(file, compiled)
        except OSError as error:
            log.info("%s: compiled schemas are not kept: %s", file.parent, error)
    return compiled


def _folder() -> Path | None:
    """The user's cache folder for schemas; `None` for a user without a home."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        return None
    return cache / "gesso" / "schemas"


@cache
def _version() -> str:
    """A hash of the compiler's source."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _write(file: Path, compiled: Compiled) -> None:
    """Written beside its place and then put there, so that a reader finds all of it or nothing."""
    dfa = compiled.dfa
    bodies = {id(place.body): place.body for place in dfa.places if place is not None}
    number = {key: index for index, key in enumerate(bodies)}
    places = [
        (-1, 0, 0, 0)
        if place is None
        else (number[id(place.body)], place.copy, place.count, place.inner)
        for place in dfa.places
    ]
    told = {
        "notes": compiled.notes,
        "checked": compiled.checked,
        "bodies": [[body.closing, body.counted] for body in bodies.values()],
    }
    arrays: dict[str, Any] = {
        "table": dfa.table,
        "final": dfa.final,
        "places": np.array(places, np.int32).reshape(-1, 4),
        "told": np.frombuffer(json.dumps(told).encode(), np.uint8),
    }
    for index, body in enumerate(bodies.values()):
        arrays |= {f"table{index}": body.dfa.table, f"final{index}": body.dfa.final}
    file.parent.mkdir(parents=True, exist_ok=True)
    # a file of its own for each writer: threads may compile the same schema at the same time
    with NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as opened:
        beside = Path(opened.name)
        try:
            np.savez_compressed(opened, **arrays)
            opened.close()
            beside.replace(file)
        except BaseException:
            beside.unlink()
            raise
    ages: dict[Path, float] = {}
    for one in file.parent.glob("*.npz"):
        with suppress(FileNotFoundError):  # another process was quicker
            ages[one] = one.stat().st_mtime
    for old in sorted(ages, key=ages.__getitem__)[:-MOST_FILES]:
        with suppress(FileNotFoundError):
            old.unlink()


def _read(file: Path) -> Compiled:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        told = json.loads(arrays["told"].tobytes())
        bodies = [
            Body(
                Dfa(arrays[f"table{index}"], arrays[f"final{index}"], ()),
                closing,
                None if counted is None else (counted[0], counted[1]),
            )
            for index, (closing, counted) in enumerate(told["bodies"])
        ]
        places = tuple(
            None if body < 0 else Place(bodies[body], copy, count, inner)
            for body, copy, count, inner in arrays["places"].tolist()
        )
        dfa = Dfa(arrays["table"], arrays["final"], (), places=places)
    return Compiled(dfa, tuple(told["notes"]), tuple(told["checked"]))
