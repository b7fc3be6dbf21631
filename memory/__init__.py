"""The memory room: what outlives a run, in one SQLite store, and how it is searched."""

from .blocks import Blocks
from .database import use_wal
from .embedding import served_embedding
from .errors import (
    BlockError,
    EmbeddingError,
    FactError,
    InboxError,
    JobError,
    StoreError,
    StoreLockedError,
    StoreOpenError,
    StoreVersionError,
    TransferError,
)
from .jobs import Jobs, value_at
from .memory import Memory
from .ranking import BM25, Ranking
from .rows import (
    Block,
    Correction,
    DocumentState,
    Entry,
    EntryKind,
    Event,
    EventKind,
    Extraction,
    Fact,
    Job,
    JobCounts,
    JobDocument,
    JobPlan,
    LedgerEntry,
    Letter,
    Reading,
    Record,
    Run,
    RunState,
    StoredMessage,
    Verdict,
    Wanted,
)
from .schedules import Schedules
from .store import Store
from .vectors import Embedding

__all__ = [
    "BM25",
    "Block",
    "BlockError",
    "Blocks",
    "Correction",
    "DocumentState",
    "Embedding",
    "EmbeddingError",
    "Entry",
    "EntryKind",
    "Event",
    "EventKind",
    "Extraction",
    "Fact",
    "FactError",
    "InboxError",
    "Job",
    "JobCounts",
    "JobDocument",
    "JobError",
    "JobPlan",
    "Jobs",
    "LedgerEntry",
    "Letter",
    "Memory",
    "Ranking",
    "Reading",
    "Record",
    "Run",
    "RunState",
    "Schedules",
    "Store",
    "StoreError",
    "StoreLockedError",
    "StoreOpenError",
    "StoreVersionError",
    "StoredMessage",
    "TransferError",
    "Verdict",
    "Wanted",
    "served_embedding",
    "use_wal",
    "value_at",
]
