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
    """The byte range of a file's samples, and the header to read them with.

    Attributes
    ----------
    header
        Bytes to put before the sound; empty if the file's own header is right.
    first, last
        The first byte of the samples and the byte after the last.
    missing
        Number of bytes that the header announces and the file lacks.
    """

    header: bytes
    first: int
    last: int
    missing: int


def sized_wav(raw: BinaryIO, size: int) -> SizedSound | None:
    """Return the byte range of the samples in a WAV, RF64 or BW64 file of `size` bytes; None for any other or one without sound."""
    raw.seek(0)
    kind = raw.read(12)
    if kind[:4] not in (b"RIFF", b"RF64", b"BW64") or kind[8:] != b"WAVE":
        return None
    ds64_length, format_chunk = 0, b""
    while len(head := raw.read(8)) == 8:
        name, length = head[:4], int.from_bytes(head[4:], "little")
        first = raw.tell()
        if name == b"data":
            large = length == 0xFFFFFFFF and kind[:4] != b"RIFF"
            announced = ds64_length if large else length
            return _sized(raw, format_chunk, first, announced, size) if format_chunk else None
        if name == b"ds64":
            ds64_length = int.from_bytes(raw.read(16)[8:], "little")
        elif name == b"fmt ":
            format_chunk = raw.read(min(length, _LONGEST_FORMAT))
        # chunks begin at even bytes
        raw.seek(first + length + length % 2)
    return None


def _sized(raw: BinaryIO, format_chunk: bytes, first: int, announced: int, size: int) -> SizedSound | None:
    present = size - first
    if present <= 0:
        return None
    # a length of 0 is right if another chunk follows; other lengths are doubted only if most of the file comes after
    if announced in _UNKNOWN:
        is_wrong = not _is_chunk(raw, first, size)
    else:
        next_chunk = first + announced + announced % 2
        is_wrong = present - announced > announced and not _is_chunk(raw, next_chunk, size, padded=True)
    if is_wrong:
        return SizedSound(_header(format_chunk, present), first, size, 0)
    return SizedSound(b"", first, first + min(announced, present), max(announced - present, 0))


def _is_chunk(raw: BinaryIO, at: int, size: int, *, padded: bool = False) -> bool:
    """Return whether a chunk's name with a valid length stands at byte `at`, or zeros if `padded`."""
    raw.seek(at)
    name, length = raw.read(4), int.from_bytes(raw.read(4), "little")
    if name == bytes(4):
        return padded
    return name.isascii() and name.decode().isprintable() and at + 8 + length <= size


def _header(format_chunk: bytes, length: int) -> bytes:
    format_chunk += bytes(len(format_chunk) % 2)
    described = b"fmt " + struct.pack("<I", len(format_chunk)) + format_chunk
    if length < 0xFFFFFFFF - 1000:
        riff_size = struct.pack("<I", length + len(described) + 12)
        return b"RIFF" + riff_size + b"WAVE" + described + b"data" + struct.pack("<I", length)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, length + len(described) + 48, length, 0, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + described + b"data\xff\xff\xff\xff"
