"""Everything that can go wrong in the memory room.

StoreError
├── StoreOpenError         the store cannot be opened, or is none of gesso's
├── StoreUnreachableError  the server of the store does not answer, for now
├── StoreVersionError      the store was written by a newer gesso than this one
├── StoreLockedError       another process held the store's write lock for too long
├── FactError              a fact that is not there, or that cannot be changed as was asked
├── BlockError             a block that is not there, or that an edit would make too long
├── EmbeddingError         the model of meaning does not answer as it should
├── InboxError             an entry that is not in the inbox, or that was decided before
├── JobError               a job or a value of one that is not there
└── TransferError          what should be imported is no export, or a backup cannot be made there
"""


class StoreError(Exception):
    """Base class of the memory room's errors."""


class StoreOpenError(StoreError):
    """The store cannot be opened: the file is none of gesso's, the address or the password is
    wrong."""


class StoreUnreachableError(StoreError):
    """The server of the store does not answer, or no longer; it may another time."""


class StoreVersionError(StoreError):
    """The store was written by a newer gesso than this one."""


class StoreLockedError(StoreError):
    """Another process held the store's write lock for longer than the busy timeout."""


class FactError(StoreError):
    """A fact that is not there, or another agent's, or that cannot be changed as was asked."""


class BlockError(StoreError):
    """A block that is not there, or an edit that does not fit it or makes it too long."""


class EmbeddingError(StoreError):
    """The model of meaning does not answer, or not as it should."""


class InboxError(StoreError):
    """An entry that is not in the inbox, or that was decided before."""


class JobError(StoreError):
    """A job, or a value of one of its records, that is not there."""


class TransferError(StoreError):
    """What should be imported is no export of a memory, or a backup cannot be made there."""
