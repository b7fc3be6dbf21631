"""Whether a machine and a project on it can do the work: looked at, never changed.

Nothing is downloaded and no model is loaded. The store is opened, which brings an older one to this
version's tables.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from ..engine import CheckpointError, EngineError
from ..engine.checkpoint import locate, sees
from ..memory import Store, StoreError
from ..tools import SandboxError, SecretError, Workspace, read_secrets
from ..tools.sandbox import run as run_in_sandbox
from .agent import Agent
from .errors import AgentFileError, ProjectError, SettingsError
from .models import ADDRESS, engine_of
from .settings import Settings, read_settings, unknown_variables
from .state import SECRETS, STATE

LIBRARIES = ("torch", "dbos", "sqlalchemy", "tokenizers", "safetensors", "pydantic")
COMMANDS = ("shell", "python")
"""The tools that need the sandbox."""

GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """`finding` is what was seen of `subject`, `advice` what to do about it."""

    level: Literal["ok", "warning", "problem"]
    subject: str
    finding: str
    advice: str = ""


def examine(folder: Path) -> Iterator[Check]:
    """The machine, then the project in `folder`; one by one, because some take a while.

    Raises:
        ProjectError: there is no such folder.
    """
    if not folder.is_dir():
        raise ProjectError(f"{folder}: no such folder")
    settings = Settings()
    yield _versions()
    try:
        settings = read_settings(folder)
        yield Check("ok", "settings", "can be read: `gesso config` shows them")
    except SettingsError as error:
        yield Check("problem", "settings", str(error), "mend that line or variable")
    agents: list[Agent] = []
    yield from _agents(folder, agents)
    models = [settings.model] if settings.model else sorted({agent.model for agent in agents})
    yield _gpu(settings, models)
    yield _memory()
    yield _disk(folder)
    yield _sandbox(agents)
    for model in models:
        if ADDRESS.match(model):
            yield _served(model, settings, folder / STATE)
        else:
            yield _model(model)
    yield from _databases(folder, settings)
    yield from _secrets(folder / STATE / SECRETS, agents)
    names = {name for agent in agents for name in agent.secrets}
    for variable in unknown_variables(os.environ):
        if variable not in names:
            advice = "look for a slip in its name: `gesso config` shows all settings"
            yield Check("warning", "settings", f"{variable} sets nothing", advice)


def _versions() -> Check:
    found = [f"gesso {version('gesso')}", f"Python {platform.python_version()}"]
    found += [f"{name} {version(name)}" for name in LIBRARIES]
    return Check("ok", "versions", ", ".join([*found, f"SQLite {sqlite3.sqlite_version}"]))


def _agents(folder: Path, read: list[Agent]) -> Iterator[Check]:
    """Each agent's file; those that are good are put in `read`."""
    files = sorted((folder / "agents").glob("*.md"))
    if not files:
        where = f"write one to {folder / 'agents'}/NAME.md"
        yield Check("warning", "agents", "there are none", where)
    for file in files:
        try:
            agent = Agent.load(file)
        except AgentFileError as error:
            yield Check("problem", f"agent {file.stem}", str(error), "mend that line")
        else:
            read.append(agent)
            yield Check("ok", f"agent {agent.name}", f"{file} can be read")


def _gpu(settings: Settings, models: Sequence[str]) -> Check:
    import torch

    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
        names = [f"{gpu.name} with {gpu.total_memory / GIB:.0f} GiB" for gpu in found]
        return Check("ok", "GPU", ", ".join(names))
    if settings.device.startswith("cuda"):
        advice = "install a torch that finds it, or set device to auto"
        return Check("problem", "GPU", f"none is found, and device is {settings.device}", advice)
    if any(model != "sketch" and not ADDRESS.match(model) for model in models):
        advice = "a model beyond sketch is slow on a processor"
        return Check("warning", "GPU", "none is found: models run on the processor", advice)
    return Check("ok", "GPU", "none is found: models run on the processor")


def _memory() -> Check:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    table = Path("/proc/meminfo")
    if not table.exists():
        return Check("ok", "memory", f"{total / GIB:.1f} GiB")
    rows = dict(line.split(":", 1) for line in table.read_text().splitlines())
    free = int(rows["MemAvailable"].split()[0]) * 1024
    finding = f"{free / GIB:.1f} of {total / GIB:.1f} GiB are free"
    if free < GIB:
        return Check("warning", "memory", finding, "close other programs, or take a smaller model")
    return Check("ok", "memory", finding)


def _disk(folder: Path) -> Check:
    usage = shutil.disk_usage(folder)
    finding = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB are free"
    if usage.free < 2 * GIB:
        level = "problem" if usage.free < GIB / 8 else "warning"
        return Check(level, "disk", finding, "make room: a full disk stops every run")
    return Check("ok", "disk", finding)


def _sandbox(agents: Sequence[Agent]) -> Check:
    """A command that does nothing, in the sandbox that the agents' commands would have."""
    with tempfile.TemporaryDirectory(prefix="gesso-") as empty:
        try:
            outcome = run_in_sandbox(["true"], Workspace(empty), "bubblewrap")
        except SandboxError as error:
            finding = str(error)
        else:
            if outcome.code == 0:
                return Check("ok", "sandbox", "bubblewrap runs commands")
            finding = f"bubblewrap is there and cannot run: {outcome.text}"
    needing = [
        agent.name
        for agent in agents
        if agent.sandbox == "bubblewrap" and any(name in agent.tools for name in COMMANDS)
    ]
    if needing:
        advice = f"{', '.join(needing)} cannot run commands until this is mended"
        if "cannot run" in finding:
            advice += "; Ubuntu wants an AppArmor profile that lets bwrap make user namespaces"
        return Check("problem", "sandbox", finding, advice)
    return Check("warning", "sandbox", finding, "an agent with shell or python would need it")


def _model(model: str) -> Check:
    subject = f"model {model}"
    try:
        folder = locate(model, download=False)
    except CheckpointError as error:
        if model.count("/") == 1 and not model.startswith((".", "/", "~")):
            return Check("warning", subject, "is not on this machine", "its first use downloads it")
        return Check("problem", subject, str(error), "name a folder, a hub id, or sketch")
    missing = [
        pattern
        for pattern in ("config.json", "tokenizer.json", "*.safetensors")
        if not any(folder.glob(pattern))
    ]
    if missing:
        finding = f"{folder} lacks {', '.join(missing)}"
        return Check("problem", subject, finding, "copy or download the whole checkpoint")
    try:
        seeing = sees(folder)
    except CheckpointError as error:
        return Check("problem", subject, str(error), "copy or download the whole checkpoint")
    return Check("ok", subject, f"is in {folder}{'; it reads images' if seeing else ''}")


def _served(model: str, settings: Settings, state: Path) -> Check:
    subject = f"model {model}"
    try:
        engine = engine_of(model, settings, state)
        length, images = engine.context_length, ", and images" if engine.sees else ""
    except (EngineError, SecretError) as error:
        return Check("problem", subject, str(error), "start its server, or name another model")
    return Check("ok", subject, f"its server answers; it reads {length:,} tokens{images}")


def _databases(folder: Path, settings: Settings) -> Iterator[Check]:
    if settings.database_url is not None:
        yield _server(settings.database_url)
        return
    for name in ("store.db", "durable.db"):
        path = folder / STATE / name
        if not path.is_file():
            yield Check("ok", name, "is not there yet: nothing has run")
            continue
        advice = f"stop `gesso up`, keep a copy of {path}, and put a backup in its place"
        try:
            if name == "store.db":
                Store(path).close()
            finding = _integrity(path)
        except (StoreError, sqlite3.Error) as error:
            yield Check("problem", name, f"{path} cannot be opened: {error}", advice)
            continue
        if finding == "ok":
            yield Check("ok", name, f"{path} is whole, {path.stat().st_size:,} bytes")
        else:
            yield Check("problem", name, f"{path} is damaged: {finding}", advice)


def _server(url: str) -> Check:
    try:
        with Store(url) as store:
            return Check("ok", "database", f"{store.name} in PostgreSQL can be opened")
    except StoreError as error:
        advice = "database_url is postgresql+psycopg://USER@HOST/DATABASE; `gesso config` shows it"
        return Check("problem", "database", str(error), advice)


def _integrity(path: Path) -> str:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        return "; ".join(row[0] for row in connection.execute("PRAGMA integrity_check(3)"))
    finally:
        connection.close()


def _secrets(file: Path, agents: Sequence[Agent]) -> Iterator[Check]:
    try:
        read_secrets([], environment={}, file=file)
    except SecretError as error:
        yield Check("problem", "secrets", str(error), "until then no secret of the file is read")
        return
    if file.exists():
        yield Check("ok", "secrets", f"{file} is yours alone")
    for agent in agents:
        for name in agent.secrets:
            try:
                read_secrets([name], environment=os.environ, file=file)
            except SecretError as error:
                advice = f"{agent.name} names it"
                yield Check("problem", f"secret {name}", str(error), advice)
            else:
                yield Check("ok", f"secret {name}", "is there")
