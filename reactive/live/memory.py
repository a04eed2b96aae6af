"""Give freed memory back to the system.

glibc's malloc keeps what several threads freed, in an arena of each, for the next call of that thread. Each song of a set list is
analysed in a thread and imagined in another one: after 24 songs 228 MB were in use, and 563 MB free but kept.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_memory() -> None:
    """Return all pages to the system that hold nothing any more; does nothing where malloc is not that of glibc."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):
        return None
    return found
