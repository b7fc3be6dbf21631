"""The memory room: what outlives a run, in one SQLite store, and how it is searched."""

from .blocks import Blocks
from .database import use_wal
from .embedding import served_embedding
from .errors import (
    BlockError,
    EmbeddingError,
    FactError,
    InboxError,
    StoreError,
    StoreLockedError,
    StoreOpenError,
    StoreVersionError,
    TransferError,
)
from .memory import Memory
from .ranking import BM25, Ranking
from .rows import (
    Block,
    Entry,
    EntryKind,
    Event,
    EventKind,
    Fact,
    LedgerEntry,
    Letter,
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
    "Embedding",
    "EmbeddingError",
    "Entry",
    "EntryKind",
    "Event",
    "EventKind",
    "Fact",
    "FactError",
    "InboxError",
    "LedgerEntry",
    "Letter",
    "Memory",
    "Ranking",
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
]
