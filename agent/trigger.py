"""What starts a run of an agent: one entry of its file's `triggers`, told apart by the key that is
there.

triggers:
  - folder: inbox
    pattern: "*.txt"
  - cron: "0 9 * * 1-5"
    zone: Europe/Berlin
    message: Write the report.
  - every: 15m
    message: Look after the queue.
  - webhook: issues
    secret: HOOK_SECRET
  - from: clerk

The text of a trigger (`str`) names it among those of its agent. Nothing here watches a folder, a
clock or a port.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from ..tools import SecretName
from .errors import ScheduleError
from .schedule import Cron, Every, Missed, Schedule

AGENT_NAME = r"^[a-z][a-z0-9_-]*$"

Message = Annotated[str, Field(min_length=1)]


class _Trigger(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, serialize_by_alias=True)


class FolderTrigger(_Trigger):
    """A file in `folder` (inside the project) whose name matches `pattern` starts a run.

    `changed`: a file with new content starts another one. `recursive`: the folders below count too.
    """

    folder: str = Field(min_length=1)
    pattern: str = "*"
    changed: bool = True
    recursive: bool = False

    def __str__(self) -> str:
        return f"folder {self.folder} {self.pattern}"


def _cron(text: str) -> str:
    return _readable(lambda: Cron(text), text)


def _zone(text: str) -> str:
    return _readable(lambda: Cron("0 0 * * *", text), text)


def _every(text: str) -> str:
    return _readable(lambda: Every(text), text)


def _readable(make: Callable[[], Schedule], text: str) -> str:
    try:
        make()
    except ScheduleError as error:
        raise ValueError(str(error)) from None
    return text


class CronTrigger(_Trigger):
    """`message` starts a run at the times of `cron`, on the clocks of `zone` (the machine's own,
    where none is named). `missed` says what becomes of the times at which nothing was up."""

    cron: Annotated[str, AfterValidator(_cron)]
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    message: Message
    missed: Missed = "once"

    @property
    def schedule(self) -> Schedule:
        return Cron(self.cron, self.zone)

    def __str__(self) -> str:
        return str(self.schedule)


class IntervalTrigger(_Trigger):
    """`message` starts a run again and again, `every` so often (`30s`, `15m`, `2h`, `1d`), counted
    from when the trigger was first seen."""

    every: Annotated[str, AfterValidator(_every)]
    message: Message
    missed: Missed = "once"

    @property
    def schedule(self) -> Schedule:
        return Every(self.every)

    def __str__(self) -> str:
        return str(self.schedule)


class WebhookTrigger(_Trigger):
    """A delivery to `/hooks/NAME` that is signed with the secret starts a run; `message` stands
    before what was delivered."""

    webhook: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    secret: SecretName
    message: Message | None = None

    def __str__(self) -> str:
        return f"webhook {self.webhook}"


class MessageTrigger(_Trigger):
    """A message of another agent starts a run."""

    sender: str = Field(alias="from", pattern=AGENT_NAME)

    def __str__(self) -> str:
        return f"messages from {self.sender}"


KINDS: Mapping[str, type[_Trigger]] = {
    "folder": FolderTrigger,
    "cron": CronTrigger,
    "every": IntervalTrigger,
    "webhook": WebhookTrigger,
    "from": MessageTrigger,
}
"""Each kind by the key that tells it from the others."""


def kind_of(value: Any) -> str | None:
    """Which of `KINDS` an entry is, by its first key that is one."""
    if isinstance(value, Mapping):
        return next((key for key in value if key in KINDS), None)
    return next((key for key, model in KINDS.items() if isinstance(value, model)), None)


def known_fields(kind: str) -> list[str]:
    """The fields of a kind, as a file spells them."""
    return [field.alias or name for name, field in KINDS[kind].model_fields.items()]


Timed = CronTrigger | IntervalTrigger

Trigger = Annotated[
    Annotated[FolderTrigger, Tag("folder")]
    | Annotated[CronTrigger, Tag("cron")]
    | Annotated[IntervalTrigger, Tag("every")]
    | Annotated[WebhookTrigger, Tag("webhook")]
    | Annotated[MessageTrigger, Tag("from")],
    Discriminator(
        kind_of,
        custom_error_type="no_trigger",
        custom_error_message=f"is no trigger: one has a field of {', '.join(KINDS)}",
    ),
]
