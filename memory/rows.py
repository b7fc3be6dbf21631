"""What the store gives back: frozen data, one class a table. Times are timezone-aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import Row

RunState = Literal[
    "queued", "running", "waiting", "paused", "retrying", "done", "stopped", "failed", "cancelled"
]
Wanted = Literal["pause", "cancel"]
EntryKind = Literal["approval", "interrupted", "question", "message"]
Verdict = Literal["approved", "denied"]
EventKind = Literal["allow", "ask", "deny", "edited", "begun", "finished", "failed"]
DocumentState = Literal["waiting", "done", "failed"]
EnergySource = Literal["measured", "estimated", "unknown"]


@dataclass(frozen=True)
class Run:
    """One execution of an agent.

    `waiting` is for the person, `retrying` until `due`, after something broke. `stopped` means that
    a budget ended it, or that it got nowhere; `failed` that something broke; `reason` then says
    what. A run that went on after any of these has a higher `part`. `wanted` is what the person
    wants of it at its next step.
    """

    id: str
    agent: str
    trigger: str
    input: str
    state: RunState
    model: str
    queued: datetime
    started: datetime | None = None
    ended: datetime | None = None
    reason: str | None = None
    part: int = 0
    wanted: Wanted | None = None
    due: datetime | None = None


@dataclass(frozen=True)
class StoredMessage:
    """One message of a run's conversation; `tool_calls` are `{"name", "arguments"}` objects.

    A message of the role `summary` stands, towards the model, for those between the first two and
    the position that its `name` says. `images` are the digests of pictures that were shown with it.
    """

    position: int
    role: str
    content: str
    tool_calls: Sequence[Mapping[str, Any]] = ()
    name: str | None = None
    images: Sequence[str] = ()


@dataclass(frozen=True)
class Record:
    """One thing that an agent saved, with the document it came from."""

    key: str
    run: str
    agent: str
    source: str | None
    data: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True)
class LedgerEntry:
    """What one turn took. `prompt_tokens` includes `cached_tokens`; `joules` are `None` where their
    `energy` is unknown."""

    key: str
    run: str
    agent: str
    model: str
    device: str
    at: datetime
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    canvases: int
    denoising_steps: int
    prefill_seconds: float
    denoising_seconds: float
    joules: float | None = None
    energy: EnergySource = "unknown"


QUARTER = 900
"""Seconds of a quarter of an hour."""

PROMPT_EDGES = (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
"""Sizes of a prompt beyond which some cloud model has another price for the whole request: those
that the installed `genai-prices` knows (a test compares them), and that sums are kept by."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What some generations took together; `seconds` are those of prefill and denoising.

    `measured_joules` and `estimated_joules` are those that were known when the tokens were
    generated; the generations whose energy is unknown are counted apart, with their seconds.
    """

    generations: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    canvases: int = 0
    denoising_steps: int = 0
    seconds: float = 0.0
    measured_joules: float = 0.0
    estimated_joules: float = 0.0
    unknown_generations: int = 0
    unknown_seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens

    @property
    def output_tokens_per_second(self) -> float | None:
        return self.output_tokens / self.seconds if self.seconds else None

    @property
    def steps_per_canvas(self) -> float | None:
        return self.denoising_steps / self.canvases if self.canvases else None


@dataclass(frozen=True, kw_only=True)
class Spend(Work):
    """The work of one quarter of an hour: of the generations that began in it, of one agent, job,
    model and device, and with prompts of one size.

    The grain keeps every figure exact that is computed from sums: days of any time zone begin at a
    quarter of an hour, prices change at no other instant, and a price that depends on the size of a
    prompt is the same for all of a bucket. `prompt_bucket` is the greatest edge that the prompts
    are larger than, or 0. `job` is empty where they were no job's.
    """

    start: datetime
    agent: str
    job: str
    model: str
    device: str
    prompt_bucket: int


@dataclass(frozen=True)
class Entry:
    """One thing in the inbox. `call` is the key of the tool call that it is about.

    `approval`: the call of `text` needs the person's word. `interrupted`: it had begun when the
    process died, and may or may not have happened. `question`: the agent asks `text`, and the
    person's `note` is the answer. `message`: the agent tells `text`; nothing waits for it.
    `edited` are the arguments that the person put in the place of the call's.
    """

    id: int
    call: str
    part: int
    run: str
    agent: str
    kind: EntryKind
    text: str
    arguments: Mapping[str, Any]
    reason: str
    asked: datetime
    verdict: Verdict | None = None
    note: str = ""
    decided: datetime | None = None
    edited: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Grant:
    """What the person allowed an agent for good when they approved a call: a rule of permissions,
    that counts as if it stood in the agent's file under `allow`."""

    id: int
    agent: str
    rule: str
    at: datetime


@dataclass(frozen=True)
class Event:
    """One line of the audit log: a decision about a call, its beginning, or its end.

    `text` is the exact call. `detail` is the reason of a decision, the call that was `edited`, or
    the result; `seconds` what
    the call took.
    """

    id: int
    call: str
    part: int
    kind: EventKind
    run: str
    agent: str
    text: str
    detail: str
    seconds: float | None
    at: datetime


@dataclass(frozen=True)
class Letter:
    """One message to an agent. `run` is the run that it started, `None` until it is delivered."""

    key: str
    agent: str
    sender: str
    text: str
    due: datetime
    run: str | None = None


@dataclass(frozen=True)
class Fact:
    """One thing remembered: who or what said it, and when.

    `agent` is whose it is, `None` when every agent's. The facts of one `episode` (a conversation, a
    document) stand together, in the order of their times. A fact is *current* until a newer one
    supersedes it, or it is forgotten; the text of one that was erased is empty. `uses` counts how
    often it was given to an agent, `used` is the last time.
    """

    id: int
    text: str
    source: str
    at: datetime
    agent: str | None = None
    episode: str | None = None
    superseded_by: int | None = None
    forgotten: datetime | None = None
    uses: int = 0
    used: datetime | None = None

    @property
    def current(self) -> bool:
        return self.superseded_by is None and self.forgotten is None


@dataclass(frozen=True)
class Block:
    """A text that is always in the prompt: of one agent, or of all where `agent` is `None`.

    `value` has at most `bound` characters; `changed` is when it was last edited. `outside`: a run
    that had read what came from outside wrote some of it, and the person has not set it since.
    """

    label: str
    description: str
    value: str
    bound: int
    changed: datetime
    agent: str | None = None
    outside: bool = False


@dataclass(frozen=True)
class JobPlan:
    """What a job is to do, as it was given.

    `model` is what loads its engine, `weights` says which weights that were. Sources are relative
    to `folder`; `batch` documents are a chunk. `output` is a file's absolute path, `None` where
    whoever began the job takes the records. Without `cache`, what other jobs paid for is not used.
    With `pictures`, pages that are pictures are shown to the model; else OCR reads them.
    """

    schema: Mapping[str, Any]
    schema_digest: str
    model: str
    weights: str
    instructions: str
    seed: int
    merge: str | None
    batch: int
    folder: str
    output: str | None = None
    cache: bool = True
    pictures: bool = False


@dataclass(frozen=True)
class Job:
    """One schema over many documents. `documents` is how many there are, `None` until all are
    known: a job that died before is never carried out."""

    run: Run
    plan: JobPlan
    documents: int | None

    @property
    def id(self) -> str:
        return self.run.id


@dataclass(frozen=True)
class JobDocument:
    """A document of a job, and its record where it is `done`; `error` says why it `failed`.

    `spans` and `confidence` are by the JSON pointer of a scalar of `value`. `digest` is of the
    document's text. `tries` counts how often it was tried again, after it had failed. `cached`:
    nothing was paid for it.
    """

    number: int
    source: str
    state: DocumentState = "waiting"
    tries: int = 0
    digest: str | None = None
    value: Any = None
    spans: Mapping[str, Any] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    cached: bool = False


@dataclass(frozen=True)
class Extraction:
    """What a model read in a text, kept by all that it depends on."""

    key: str
    value: Any
    confidence: Mapping[str, float]


@dataclass(frozen=True)
class JobCounts:
    """How a job's documents stand. `cached` ones are among those that are done."""

    waiting: int = 0
    done: int = 0
    failed: int = 0
    cached: int = 0


@dataclass(frozen=True)
class Reading:
    """A value of a record, as the model read it: how sure it was, and where it stands in the
    document."""

    number: int
    source: str
    pointer: str
    value: Any
    confidence: float
    span: Mapping[str, Any] | None


@dataclass(frozen=True)
class Correction:
    """What a person says a value of a record is, in place of what the model read; `span` is where
    that stands in the document."""

    number: int
    pointer: str
    value: Any
    span: Mapping[str, Any] | None
    at: datetime


def run_of(row: Row[Any]) -> Run:
    """The run of a row of the table of runs."""
    return Run(
        id=row.id,
        agent=row.agent,
        trigger=row.trigger,
        input=row.input,
        state=cast(RunState, row.state),
        model=row.model,
        queued=time_of(row.queued),
        started=None if row.started is None else time_of(row.started),
        ended=None if row.ended is None else time_of(row.ended),
        reason=row.reason,
        part=row.part,
        wanted=cast(Wanted | None, row.wanted),
        due=None if row.due is None else time_of(row.due),
    )


def fact_of(row: Row[Any]) -> Fact:
    """The fact of a row of the table of facts."""
    return Fact(
        row.id,
        row.text,
        row.source,
        time_of(row.at),
        agent=row.agent or None,
        episode=row.episode or None,
        superseded_by=row.superseded_by,
        forgotten=None if row.forgotten is None else time_of(row.forgotten),
        uses=row.uses,
        used=None if row.used is None else time_of(row.used),
    )


def quarter_of(at: datetime) -> datetime:
    """The beginning of the quarter of an hour that a time is in."""
    return time_of(at.timestamp() // QUARTER * QUARTER)


def time_of(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
