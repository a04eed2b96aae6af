"""The journal of a job: one JSON record a line, each with its own checksum, only ever appended to.

A line that was cut short or changed is detected and ignored; its work is done again.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

from reactive.errors import OutputError
from reactive.files import write_bytes

_DIGITS = 16


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records that are whole, in order, and how many lines were damaged. A missing file has no records."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], 0
    except OSError as problem:
        raise OutputError(
            f"can't be read ({problem.strerror})",
            where=str(path),
            remedy="remove the job folder, or choose another with --job",
        ) from None
    records: list[dict[str, Any]] = []
    damaged = 0
    for line in lines:
        if not line:
            continue
        checksum, _, text = line.partition(b" ")
        if checksum != _checksum(text):
            damaged += 1
            continue
        records.append(json.loads(text))
    # a whole last line ends with a newline
    return records, damaged + (lines[-1] != b"")


class Journal:
    """A journal open for appending; a damaged one is rewritten first with its intact lines.

    Raises
    ------
    OSError
        If it can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records, self.damaged = read_journal(path)
        if self.damaged:
            write_bytes(path, b"".join(map(_line, self.records)), durable=True)
        # unbuffered: bytes that a full disk refused must not be written when the journal is closed
        self._handle: IO[bytes] = path.open("ab", buffering=0)

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; it is on the disk when this returns."""
        self._handle.write(_line(record))
        flush_to_disk(self._handle)
        self.records.append(record)

    def close(self) -> None:
        self._handle.close()


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return _checksum(text) + b" " + text + b"\n"


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_DIGITS].encode()


def flush_to_disk(handle: IO[bytes]) -> None:
    handle.flush()
    os.fsync(handle.fileno())
