"""The memory room: what outlives a run, in one SQLite store, and how it is searched."""

from .database import use_wal
from .errors import FactError, StoreError, StoreLockedError, StoreOpenError, StoreVersionError
from .memory import Memory
from .ranking import BM25, Ranking
from .rows import Fact, LedgerEntry, Record, Run, RunState, StoredMessage
from .store import Store

__all__ = [
    "BM25",
    "Fact",
    "FactError",
    "LedgerEntry",
    "Memory",
    "Ranking",
    "Record",
    "Run",
    "RunState",
    "Store",
    "StoreError",
    "StoreLockedError",
    "StoreOpenError",
    "StoreVersionError",
    "StoredMessage",
    "use_wal",
]
