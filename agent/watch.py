"""What starts runs by itself, and keeps up with the agents' files.

Each folder trigger has a thread, one clock fires all schedules, one server takes all webhooks. An
agent's file that changes, comes or goes is taken in while all this goes on, and the agent's
triggers with it. A file that cannot be taken in is logged, and the former definition stays.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..memory import StoreError
from ..tools import read_secrets
from .clock import Clock
from .errors import AgentError
from .folder import looks, settled_files
from .trigger import CronTrigger, FolderTrigger, IntervalTrigger, Timed, Trigger, WebhookTrigger
from .webhook import Webhooks

if TYPE_CHECKING:
    from .runtime import Runtime

log = logging.getLogger("gesso")

AGAIN_SECONDS = 2.0


class Watch:
    """The triggers of a runtime's agents, at work from here to `close`. `secrets` is the file of
    the secrets that webhooks are signed with; they are taken at `host` and `port`."""

    def __init__(self, runtime: Runtime, *, secrets: Path, host: str, port: int) -> None:
        self._runtime = runtime
        self._secrets = secrets
        self._triggers: dict[str, Sequence[Trigger]] = {}
        self._taken_in: dict[Path, bytes] = {}
        self._folders: dict[str, list[_FolderWatch]] = {}
        self._clock = Clock(runtime.store.schedules, self._fire)
        self.webhooks = Webhooks(self._deliver, self._secret, host=host, port=port)

    def close(self) -> None:
        self._clock.close()
        self.webhooks.close()
        _close(watch for watches in self._folders.values() for watch in watches)

    def run(self, stop: threading.Event) -> None:
        """Start the triggers, and follow the agents' files until `stop` is set. Raises
        `ListenError` where the webhooks have nowhere to listen."""
        for name, agent in self._runtime.agents.items():
            self._set(name, agent.triggers)
        agents = self._runtime.folder / "agents"
        if not agents.is_dir():
            stop.wait()
            return
        for number, changed in enumerate(looks(agents, stop)):
            if changed or number == 0:
                self._take_in()

    def _set(self, agent: str, triggers: Sequence[Trigger]) -> None:
        """From now on these are the triggers of this agent, and no others."""
        _close(self._folders.pop(agent, ()))
        self._triggers[agent] = triggers
        self._clock.set(
            agent, [t for t in triggers if isinstance(t, CronTrigger | IntervalTrigger)]
        )
        self._folders[agent] = [
            _FolderWatch(self._runtime, agent, trigger)
            for trigger in triggers
            if isinstance(trigger, FolderTrigger)
        ]
        self.webhooks.set(agent, [t for t in triggers if isinstance(t, WebhookTrigger)])

    # the agents' files

    def _take_in(self) -> None:
        """Make the runtime's agents what the files say, and the triggers what the agents say."""
        files = _contents(self._runtime.folder / "agents")
        for path in self._taken_in.keys() - files.keys():
            del self._taken_in[path]
            log.info("%s: gone with its file", self._runtime.remove(path))
        for path, content in files.items():
            if self._taken_in.get(path) != content:
                try:
                    self._runtime.add(path)
                    self._taken_in[path] = content
                except AgentError as error:
                    log.error("%s (the file is not taken in)", error)
        agents = dict(self._runtime.agents)
        for name in self._triggers.keys() | agents.keys():
            triggers = agents[name].triggers if name in agents else ()
            if tuple(triggers) != tuple(self._triggers.get(name, ())):
                log.info("%s: triggers: %s", name, ", ".join(map(str, triggers)) or "none")
                try:
                    self._set(name, triggers)
                except AgentError as error:
                    log.error("%s: %s", name, error)

    # what starts a run

    def _fire(self, agent: str, trigger: Timed, instant: datetime) -> None:
        what = f"{trigger} at {instant.isoformat()}"
        self._runtime.enqueue(agent, trigger.message, key=what, trigger=what)

    def _deliver(
        self, agent: str, trigger: WebhookTrigger, message: str, delivery: str | None
    ) -> str:
        key = f"{trigger}\0{delivery or uuid.uuid4()}"
        return self._runtime.enqueue(agent, message, key=key, trigger=str(trigger), outside=True)

    def _secret(self, name: str) -> str:
        return read_secrets([name], environment=os.environ, file=self._secrets)[name]


class _FolderWatch:
    """The thread of one folder trigger, from here to `close`."""

    def __init__(self, runtime: Runtime, agent: str, trigger: FolderTrigger) -> None:
        self._runtime, self._agent, self._trigger = runtime, agent, trigger
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name=str(trigger), daemon=True)
        self.thread.start()

    def _run(self) -> None:
        agent, trigger = self._agent, self._trigger
        log.info("%s: watching %s for %s", agent, trigger.folder, trigger.pattern)
        told = ""
        while not self.stop.is_set():
            try:
                self._watch()
            except Exception as error:  # the folder is gone for a while, a name is no text
                if str(error) != told:
                    what = "%s: %s cannot be watched, tried again every %g s: %s"
                    log.error(what, agent, trigger.folder, AGAIN_SECONDS, error)
                told = str(error)
                self.stop.wait(AGAIN_SECONDS)

    def _watch(self) -> None:
        agent, trigger = self._agent, self._trigger
        folder = self._runtime.folder / trigger.folder
        for path in settled_files(
            folder.resolve(), trigger.pattern, self.stop, recursive=trigger.recursive
        ):
            try:
                self._runtime.enqueue_document(agent, path, changed=trigger.changed)
            except (OSError, AgentError, StoreError) as error:
                log.error("%s: %s: not queued: %s", agent, path.name, error)
            except Exception:  # one file is no reason to watch for no other
                log.exception("%s: %s: not queued", agent, path.name)


def _close(watches: Iterable[_FolderWatch]) -> None:
    watches = list(watches)
    for one in watches:
        one.stop.set()
    for one in watches:
        one.thread.join()


def _contents(folder: Path) -> dict[Path, bytes]:
    found = {}
    for path in sorted(folder.glob("*.md")):
        try:
            found[path] = path.read_bytes()
        except FileNotFoundError:
            continue  # gone since
    return found
