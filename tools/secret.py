"""The secrets that an agent's tools may use, by name: from the environment or from a file that
nobody else can read. A tool takes one from its context; no prompt, log or row shows it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from .errors import SecretError
from .redactor import Redactor

SHORTEST = 8
"""Characters of the shortest secret: a shorter one would be blanked all over innocent text."""

SecretName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Secrets(Mapping[str, str]):
    """The values by name; shows the names alone."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        for name, value in self._values.items():
            if len(value.strip()) < SHORTEST:
                what = f"is shorter than {SHORTEST} characters, and could not be blanked in texts"
                raise SecretError(f"the secret {name} {what}")
        self.redactor = Redactor(self._values)

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            raise SecretError(f"no secret {name} is among the agent's `secrets`") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"


def read_secrets(
    names: Sequence[str], *, environment: Mapping[str, str], file: Path | None = None
) -> Secrets:
    """The named secrets, from the environment or else from the file, or `SecretError`."""
    return Secrets(look_up(names, environment=environment, file=file))


def look_up(
    names: Sequence[str], *, environment: Mapping[str, str], file: Path | None = None
) -> dict[str, str]:
    """The values by name, from the environment or else from the file, or `SecretError`.

    The file holds lines of `NAME=value`, empty lines and comments (`#`). It must be a regular file
    of the user's own, with mode 600.
    """
    in_file = _read(file) if file is not None and os.path.lexists(file) else {}
    values: dict[str, str] = {}
    for name in names:
        if name in environment:
            values[name] = environment[name]
        elif name in in_file:
            values[name] = in_file[name]
        else:
            where = "the environment" if file is None else f"the environment or {file}"
            raise SecretError(f"the secret {name} is missing: put it in {where}")
    return values


def _read(file: Path) -> dict[str, str]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SecretError(f"{file}: {error.strerror or error}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise SecretError(f"{file}: is no regular file")
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        os.close(descriptor)
        raise SecretError(f"{file}: others can read it: chmod 600 {file}")
    with open(descriptor, encoding="utf-8") as opened:
        try:
            lines = opened.read().splitlines()
        except UnicodeDecodeError:
            raise SecretError(f"{file}: is not a text file in UTF-8") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name.strip()):
            raise SecretError(f"{file}:{number}: is no line of NAME=value")
        found[name.strip()] = value.strip()
    return found
