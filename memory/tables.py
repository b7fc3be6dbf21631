"""The store's tables, as the code reads and writes them.

What is on disk is made by `migrations/`; a test holds the two together. Times are seconds since
the epoch, in UTC. Every row that a durable step writes has a key of its own, so that a step that
runs twice writes once. `facts_index` holds the current facts: on SQLite (FTS5) it follows `facts`
by triggers and is no table of ours; on PostgreSQL it is an index of `facts.words`, which the
database computes and we do not list.
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
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from .columns import Name, Whole, Words

metadata = MetaData()

# The agent of what is every agent's. A part of a key, and SQL holds no two NULLs for alike.
SHARED = ""

runs = Table(
    "runs",
    metadata,
    Column("id", Name, primary_key=True),
    Column("agent", Name, nullable=False),
    Column("trigger", Name, nullable=False),
    Column("input", Words, nullable=False),
    Column("state", Name, nullable=False),
    Column("model", Name, nullable=False),
    Column("queued", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("reason", Words),
    Column("part", Whole, nullable=False, server_default="0"),
    Column("wanted", Name),
    Column("due", Float),
    Column("job", JSON),
    Index("runs_by_state", "state", "queued"),
)

messages = Table(
    "messages",
    metadata,
    Column("run", Name, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Whole, primary_key=True),
    Column("role", Name, nullable=False),
    Column("content", Words, nullable=False),
    Column("tool_calls", JSON, nullable=False),
    Column("name", Name),
    Column("images", JSON, nullable=False, server_default="[]"),
)

records = Table(
    "records",
    metadata,
    Column("key", Name, primary_key=True),
    Column("run", Name, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("agent", Name, nullable=False),
    Column("source", Name),
    Column("data", JSON, nullable=False),
    Column("at", Float, nullable=False),
    Index("records_by_agent", "agent", "at"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("key", Name, primary_key=True),
    Column("run", Name, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("agent", Name, nullable=False),
    Column("model", Name, nullable=False),
    Column("device", Name, nullable=False),
    Column("at", Float, nullable=False),
    Column("prompt_tokens", Whole, nullable=False),
    Column("cached_tokens", Whole, nullable=False),
    Column("output_tokens", Whole, nullable=False),
    Column("canvases", Whole, nullable=False),
    Column("denoising_steps", Whole, nullable=False),
    Column("prefill_seconds", Float, nullable=False),
    Column("denoising_seconds", Float, nullable=False),
    Column("joules", Float),
    Column("energy", Name, nullable=False, server_default="unknown"),
    Index("ledger_by_run", "run"),
    Index("ledger_by_time", "at", "key"),
)
# Of the ledger's rows, kept by a trigger.
spends = Table(
    "spends",
    metadata,
    Column("start", Whole, primary_key=True),
    Column("agent", Name, primary_key=True),
    Column("job", Name, primary_key=True),
    Column("model", Name, primary_key=True),
    Column("device", Name, primary_key=True),
    Column("prompt_bucket", Whole, primary_key=True),
    Column("generations", Whole, nullable=False),
    Column("prompt_tokens", Whole, nullable=False),
    Column("cached_tokens", Whole, nullable=False),
    Column("output_tokens", Whole, nullable=False),
    Column("canvases", Whole, nullable=False),
    Column("denoising_steps", Whole, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("measured_joules", Float, nullable=False),
    Column("estimated_joules", Float, nullable=False),
    Column("unknown_generations", Whole, nullable=False),
    Column("unknown_seconds", Float, nullable=False),
    sqlite_with_rowid=False,
)

facts = Table(
    "facts",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("agent", Name, nullable=False, server_default=SHARED),
    Column("episode", Name, nullable=False, server_default=""),
    Column("text", Words, nullable=False),
    Column("source", Name, nullable=False),
    Column("at", Float, nullable=False),
    Column("superseded_by", Whole, ForeignKey("facts.id")),
    Column("forgotten", Float),
    Column("uses", Whole, nullable=False, server_default="0"),
    Column("used", Float),
    Index("facts_by_episode", "episode", "agent", "at"),
    Index("facts_by_successor", "superseded_by"),
)
# Only of what is current: a fact that was superseded or forgotten may be told again.
CURRENT = text("superseded_by IS NULL AND forgotten IS NULL")
Index(
    "facts_once",
    *(facts.c.text, facts.c.source, facts.c.agent, facts.c.episode),
    unique=True,
    sqlite_where=CURRENT,
    postgresql_where=CURRENT,
)

blocks = Table(
    "blocks",
    metadata,
    Column("agent", Name, primary_key=True),
    Column("label", Name, primary_key=True),
    Column("description", Words, nullable=False),
    Column("value", Words, nullable=False),
    Column("bound", Whole, nullable=False),
    Column("changed", Float, nullable=False),
    Column("outside", Boolean, nullable=False, server_default="0"),
)

vectors = Table(
    "vectors",
    metadata,
    Column("fact", Whole, ForeignKey("facts.id"), primary_key=True),
    Column("model", Name, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("call", Name, nullable=False),
    Column("part", Whole, nullable=False),
    Column("run", Name, nullable=False),
    Column("agent", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("text", Words, nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("reason", Words, nullable=False),
    Column("asked", Float, nullable=False),
    Column("verdict", Name),
    Column("note", Words, nullable=False, server_default=""),
    Column("decided", Float),
    Column("edited", JSON(none_as_null=True)),
    UniqueConstraint("call", "part", name="inbox_once"),
    Index("inbox_open", "verdict", "run"),
    sqlite_autoincrement=True,
)

grants = Table(
    "grants",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("agent", Name, nullable=False),
    Column("rule", Name, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("agent", "rule", name="grants_once"),
    sqlite_autoincrement=True,
)

# Triggers of the database refuse to change or to remove a row.
audit = Table(
    "audit",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("call", Name, nullable=False),
    Column("part", Whole, nullable=False),
    Column("kind", Name, nullable=False),
    Column("run", Name, nullable=False),
    Column("agent", Name, nullable=False),
    Column("text", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("seconds", Float),
    Column("at", Float, nullable=False),
    UniqueConstraint("call", "part", "kind", name="audit_once"),
    Index("audit_by_run", "run", "id"),
    sqlite_autoincrement=True,
)

mail = Table(
    "mail",
    metadata,
    Column("key", Name, primary_key=True),
    Column("agent", Name, nullable=False),
    Column("sender", Name, nullable=False),
    Column("text", Words, nullable=False),
    Column("due", Float, nullable=False),
    Column("run", Name),
    Index("mail_by_due", "run", "due"),
)

# `trigger` is what the schedule says, `last` its last firing, or when it was first seen.
schedules = Table(
    "schedules",
    metadata,
    Column("agent", Name, primary_key=True),
    Column("trigger", Name, primary_key=True),
    Column("last", Float, nullable=False),
)

# A job is a run; `plan` is what it is to do, `documents` how many there are, once all are known.
jobs = Table(
    "jobs",
    metadata,
    Column("run", Name, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("plan", JSON, nullable=False),
    Column("documents", Whole),
)

# The `value` of a document that has none is no JSON null but SQL's.
job_documents = Table(
    "job_documents",
    metadata,
    Column("job", Name, ForeignKey("jobs.run", ondelete="CASCADE"), primary_key=True),
    Column("number", Whole, primary_key=True),
    Column("source", Words, nullable=False),
    Column("state", Name, nullable=False, server_default="waiting"),
    Column("tries", Whole, nullable=False, server_default="0"),
    Column("digest", Name),
    Column("value", JSON(none_as_null=True)),
    Column("spans", JSON, nullable=False, server_default="{}"),
    Column("confidence", JSON, nullable=False, server_default="{}"),
    Column("error", Words),
    Column("cached", Boolean, nullable=False, server_default="0"),
    Index("job_documents_by_source", "job", "source"),
    Index("job_documents_by_state", "job", "state", "number"),
)

extractions = Table(
    "extractions",
    metadata,
    Column("key", Name, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("confidence", JSON, nullable=False),
    Column("at", Float, nullable=False),
)

corrections = Table(
    "corrections",
    metadata,
    Column("job", Name, primary_key=True),
    Column("number", Whole, primary_key=True),
    Column("pointer", Name, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("span", JSON(none_as_null=True)),
    Column("at", Float, nullable=False),
    ForeignKeyConstraint(
        ["job", "number"], ["job_documents.job", "job_documents.number"], ondelete="CASCADE"
    ),
)
