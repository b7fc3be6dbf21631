"""The memory room: what outlives a run, in one SQLite store, and how it is searched."""

from .blocks import Blocks
from .database import use_wal
from .errors import (
    BlockError,
    FactError,
    StoreError,
    StoreLockedError,
    StoreOpenError,
    StoreVersionError,
    TransferError,
)
from .memory import Memory
from .ranking import BM25, Ranking
from .rows import Block, Fact, LedgerEntry, Record, Run, RunState, StoredMessage
from .schedules import Schedules
from .store import Store
from .vectors import Embedding

__all__ = [
    "BM25",
    "Block",
    "BlockError",
    "Blocks",
    "Embedding",
    "Fact",
    "FactError",
    "LedgerEntry",
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
    "use_wal",
]
