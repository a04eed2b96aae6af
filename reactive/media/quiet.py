"""Keep a library written in C from printing: libtiff tells each damage of a file on stderr, beside the one line that a user gets."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_lock = threading.Lock()
# how many threads are within, and the stream that the last of them brings back
_within = 0
_kept: int | None = None


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what is printed on the process's stderr nowhere; nothing is changed where it is closed."""
    global _within, _kept
    with _lock:
        if _within == 0:
            _kept = _sent_nowhere()
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0 and _kept is not None:
                os.dup2(_kept, _STDERR)
                os.close(_kept)
                _kept = None


def _sent_nowhere() -> int | None:
    """Return a copy of stderr, which leads nowhere from now on; None if that can't be done."""
    try:
        kept = os.dup(_STDERR)
    except OSError:
        return None
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
    except OSError:
        os.close(kept)
        return None
    return kept
