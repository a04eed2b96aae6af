"""Parts of a file as one file object, for files that are several in a row or whose header is wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class FileSlices(io.RawIOBase):
    """A readable file made of bytes and of ranges of another file, one after the other.

    Parameters
    ----------
    path
        The file that the ranges are read from.
    parts
        Literal bytes, or ranges (first byte, byte after the last).
    """

    def __init__(self, path: Path, parts: Sequence[bytes | tuple[int, int]]) -> None:
        super().__init__()
        self._raw = path.open("rb")
        self._parts = list(parts)
        self._sizes = [len(part) if isinstance(part, bytes) else part[1] - part[0] for part in self._parts]
        self._size = sum(self._sizes)
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte and return its position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer and return how many; 0 at the end."""
        view = memoryview(buffer).cast("B")
        begin = 0
        for part, size in zip(self._parts, self._sizes, strict=True):
            inside = self._at - begin
            if 0 <= inside < size:
                count = min(len(view), size - inside)
                if isinstance(part, bytes):
                    view[:count] = part[inside : inside + count]
                else:
                    self._raw.seek(part[0] + inside)
                    count = self._raw.readinto(view[:count])
                self._at += count
                return count
            begin += size
        return 0

    def close(self) -> None:
        """Close this file and the file behind it."""
        self._raw.close()
        super().close()
