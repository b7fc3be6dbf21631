"""What the C library keeps of memory that was freed.

A turn takes and frees tensors of many sizes, on several threads; glibc keeps what was freed between
them for later, a little more of it each time a prompt is longer than those before. It gives it back
when it is asked to.
"""

from __future__ import annotations

import ctypes

GIVE_BACK_SECONDS = 15.0
"""How often whoever generates hands memory back: between two prompts of thousands of tokens, little
has gathered by then, and it takes milliseconds."""


def give_back() -> None:
    """Hand freed memory back to the system, where the C library can (glibc's `malloc_trim`)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
