"""Whether a file was saved again since it was last read."""

from __future__ import annotations

from pathlib import Path


def file_state_of(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when a file is written (editors may also replace it); None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    # the clock of a file system is coarse: two saves may have the same time
    return status.st_mtime_ns, status.st_size, status.st_ino
