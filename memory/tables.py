"""The store's tables, as the code reads and writes them.

What is on disk is made by `migrations/`; a test holds the two together. Times are seconds since
the epoch, in UTC. Every row that a durable step writes has a key of its own, so that a step that
runs twice writes once. `facts_index` (FTS5) holds the current facts; it follows `facts` by triggers
and is no table of ours.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# The agent of what is every agent's. A part of a key, and SQL holds no two NULLs for alike.
SHARED = ""

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("agent", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("input", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("model", String, nullable=False),
    Column("queued", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("reason", Text),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("wanted", String),
    Column("due", Float),
    Column("job", JSON),
    Index("runs_by_state", "state", "queued"),
)

messages = Table(
    "messages",
    metadata,
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("role", String, nullable=False),
    Column("content", Text, nullable=False),
    Column("tool_calls", JSON, nullable=False),
    Column("name", String),
)

records = Table(
    "records",
    metadata,
    Column("key", String, primary_key=True),
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("agent", String, nullable=False),
    Column("source", String),
    Column("data", JSON, nullable=False),
    Column("at", Float, nullable=False),
    Index("records_by_agent", "agent", "at"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("key", String, primary_key=True),
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("agent", String, nullable=False),
    Column("model", String, nullable=False),
    Column("device", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("canvases", Integer, nullable=False),
    Column("denoising_steps", Integer, nullable=False),
    Column("prefill_seconds", Float, nullable=False),
    Column("denoising_seconds", Float, nullable=False),
    Column("joules", Float),
    Column("energy", String, nullable=False, server_default="unknown"),
    Index("ledger_by_run", "run"),
    Index("ledger_by_time", "at", "key"),
)
# Of the ledger's rows, kept by a trigger.
spends = Table(
    "spends",
    metadata,
    Column("start", Integer, primary_key=True),
    Column("agent", String, primary_key=True),
    Column("job", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("prompt_bucket", Integer, primary_key=True),
    Column("generations", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("canvases", Integer, nullable=False),
    Column("denoising_steps", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("measured_joules", Float, nullable=False),
    Column("estimated_joules", Float, nullable=False),
    Column("unknown_generations", Integer, nullable=False),
    Column("unknown_seconds", Float, nullable=False),
    sqlite_with_rowid=False,
)

facts = Table(
    "facts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("agent", String, nullable=False, server_default=SHARED),
    Column("episode", String, nullable=False, server_default=""),
    Column("text", Text, nullable=False),
    Column("source", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("superseded_by", Integer, ForeignKey("facts.id")),
    Column("forgotten", Float),
    Column("uses", Integer, nullable=False, server_default="0"),
    Column("used", Float),
    Index("facts_by_episode", "episode", "agent", "at"),
    Index("facts_by_successor", "superseded_by"),
)
# Only of what is current: a fact that was superseded or forgotten may be told again.
Index(
    "facts_once",
    *(facts.c.text, facts.c.source, facts.c.agent, facts.c.episode),
    unique=True,
    sqlite_where=text("superseded_by IS NULL AND forgotten IS NULL"),
)

blocks = Table(
    "blocks",
    metadata,
    Column("agent", String, primary_key=True),
    Column("label", String, primary_key=True),
    Column("description", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("bound", Integer, nullable=False),
    Column("changed", Float, nullable=False),
    Column("outside", Boolean, nullable=False, server_default="0"),
)

vectors = Table(
    "vectors",
    metadata,
    Column("fact", Integer, ForeignKey("facts.id"), primary_key=True),
    Column("model", String, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call", String, nullable=False),
    Column("part", Integer, nullable=False),
    Column("run", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked", Float, nullable=False),
    Column("verdict", String),
    Column("note", Text, nullable=False, server_default=""),
    Column("decided", Float),
    Column("edited", JSON(none_as_null=True)),
    UniqueConstraint("call", "part", name="inbox_once"),
    Index("inbox_open", "verdict", "run"),
    sqlite_autoincrement=True,
)

grants = Table(
    "grants",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("agent", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("agent", "rule", name="grants_once"),
    sqlite_autoincrement=True,
)

# Triggers of the database refuse to change or to remove a row.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call", String, nullable=False),
    Column("part", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("run", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("seconds", Float),
    Column("at", Float, nullable=False),
    UniqueConstraint("call", "part", "kind", name="audit_once"),
    Index("audit_by_run", "run", "id"),
    sqlite_autoincrement=True,
)

mail = Table(
    "mail",
    metadata,
    Column("key", String, primary_key=True),
    Column("agent", String, nullable=False),
    Column("sender", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("due", Float, nullable=False),
    Column("run", String),
    Index("mail_by_due", "run", "due"),
)

# `trigger` is what the schedule says, `last` its last firing, or when it was first seen.
schedules = Table(
    "schedules",
    metadata,
    Column("agent", String, primary_key=True),
    Column("trigger", String, primary_key=True),
    Column("last", Float, nullable=False),
)

# A job is a run; `plan` is what it is to do, `documents` how many there are, once all are known.
jobs = Table(
    "jobs",
    metadata,
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("plan", JSON, nullable=False),
    Column("documents", Integer),
)

# The `value` of a document that has none is no JSON null but SQL's.
job_documents = Table(
    "job_documents",
    metadata,
    Column("job", String, ForeignKey("jobs.run", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("state", String, nullable=False, server_default="waiting"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("digest", String),
    Column("value", JSON(none_as_null=True)),
    Column("spans", JSON, nullable=False, server_default="{}"),
    Column("confidence", JSON, nullable=False, server_default="{}"),
    Column("error", Text),
    Column("cached", Boolean, nullable=False, server_default="0"),
    Index("job_documents_by_source", "job", "source"),
    Index("job_documents_by_source", "job", "source"),
    Index("job_documents_by_state", "job", "state", "number"),
)

extractions = Table(
    "extractions",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("confidence", JSON, nullable=False),
    Column("at", Float, nullable=False),
)

corrections = Table(
    "corrections",
    metadata,
    Column("job", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("pointer", String, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("span", JSON(none_as_null=True)),
    Column("at", Float, nullable=False),
    ForeignKeyConstraint(
        ["job", "number"], ["job_documents.job", "job_documents.number"], ondelete="CASCADE"
    ),
)
