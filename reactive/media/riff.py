"""WAV files without a valid length in the header: written to a pipe, by a recorder that was switched off, or larger than 4 GB.

libsndfile accepts a length of 0, so such a file is read with a corrected header in front. See also EBU Tech 3306 (RF64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_LONGEST_FORMAT = 1 << 16
_UNKNOWN = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class SizedSound:
    """Where the sound of a file lies.

    Attributes
    ----------
    header
        Bytes to put before the sound; empty if the file's own header is right.
    first, last
        The sound's first byte and the byte after its last.
    missing
        How many bytes the file is shorter than its header says.
    """

    header: bytes
    first: int
    last: int
    missing: int


def sized_wav(raw: BinaryIO, size: int) -> SizedSound | None:
    """Return the position of the sound in a WAV, RF64 or BW64 file of so many bytes; None for any other or one without sound."""
    raw.seek(0)
    kind = raw.read(12)
    if kind[:4] not in (b"RIFF", b"RF64", b"BW64") or kind[8:] != b"WAVE":
        return None
    wide, form = 0, b""
    while len(head := raw.read(8)) == 8:
        name, length = head[:4], int.from_bytes(head[4:], "little")
        first = raw.tell()
        if name == b"data":
            large = length == 0xFFFFFFFF and kind[:4] != b"RIFF"
            return _sized(raw, form, first, wide if large else length, size) if form else None
        if name == b"ds64":
            wide = int.from_bytes(raw.read(16)[8:], "little")
        elif name == b"fmt ":
            form = raw.read(min(length, _LONGEST_FORMAT))
        # chunks begin at even bytes
        raw.seek(first + length + length % 2)
    return None


def _sized(raw: BinaryIO, form: bytes, first: int, promised: int, size: int) -> SizedSound | None:
    there = size - first
    if there <= 0:
        return None
    # a length of 0 may be true if another chunk follows; a large one only if the rest is most of the file
    if promised in _UNKNOWN:
        more = not _is_chunk(raw, first, size)
    else:
        more = there - promised > promised and not _is_chunk(raw, first + promised + promised % 2, size, padded=True)
    if more:
        return SizedSound(_header(form, there), first, size, 0)
    return SizedSound(b"", first, first + min(promised, there), max(promised - there, 0))


def _is_chunk(raw: BinaryIO, at: int, size: int, *, padded: bool = False) -> bool:
    """Return whether there is a chunk's name with a valid length at a byte, or if `padded`, zeros."""
    raw.seek(at)
    name, length = raw.read(4), int.from_bytes(raw.read(4), "little")
    if name == bytes(4):
        return padded
    return name.isascii() and name.decode().isprintable() and at + 8 + length <= size


def _header(form: bytes, length: int) -> bytes:
    form += bytes(len(form) % 2)
    described = b"fmt " + struct.pack("<I", len(form)) + form
    if length < 0xFFFFFFFF - 1000:
        whole = struct.pack("<I", length + len(described) + 12)
        return b"RIFF" + whole + b"WAVE" + described + b"data" + struct.pack("<I", length)
    wide = b"ds64" + struct.pack("<IQQQI", 28, length + len(described) + 48, length, 0, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + wide + described + b"data\xff\xff\xff\xff"
