"""Files of plain samples whose header does not know how long they are: of a recorder that was switched off, or from a pipe.

libsndfile believes a length of 0, and one that is too short; so such a file is read behind a header with the right one.
"""

from __future__ import annotations

from typing import BinaryIO

from reactive.media.riff import SizedSound, sized_wav

# more than this, and a header lies
_LONGEST_HEADER = 1 << 20
_MOST_CHUNKS = 1000
_FARTHEST = 1 << 43
# offset and block size stand before the samples of an AIFF, the number of edits before those of a CAF
_BEFORE_AIFF, _BEFORE_CAF = 8, 4
_NEARLY_UNKNOWN = 0xFFFFFF00


def sized_sound(raw: BinaryIO, size: int) -> SizedSound | None:
    """Return where the sound of a WAV, RF64, AIFF, AU or CAF file of so many bytes lies, if its header must be mended or is WAV's."""
    raw.seek(0)
    head = raw.read(28)
    if head[:4] == b".snd":
        return _sized_au(raw, head, size)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _sized_aiff(raw, size)
    if head[:4] == b"caff":
        return _sized_caf(raw, size)
    return sized_wav(raw, size)


def _sized_au(raw: BinaryIO, head: bytes, size: int) -> SizedSound | None:
    first, promised = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    if not 24 <= first < min(size, _LONGEST_HEADER):
        return None
    there = size - first
    # another file may follow
    more = promised >= _NEARLY_UNKNOWN or (there - promised > promised and _at(raw, first + promised, 4) != b".snd")
    if not more:
        return None
    raw.seek(0)
    known = raw.read(first)
    return SizedSound(known[:8] + min(there, _NEARLY_UNKNOWN).to_bytes(4, "big") + known[12:], first, size, 0)


def _sized_aiff(raw: BinaryIO, size: int) -> SizedSound | None:
    """Return where an AIFF's sound lies if it is the last chunk and promises next to nothing."""
    at, common = 12, 0
    for _ in range(_MOST_CHUNKS):
        head = _at(raw, at, 8)
        name, length = head[:4], int.from_bytes(head[4:], "big")
        if len(head) < 8:
            return None
        if name == b"COMM":
            common = at
        elif name == b"SSND":
            break
        at += 8 + length + length % 2
    first = at + 8 + _BEFORE_AIFF
    described = _at(raw, common + 8, 18)
    channels, bits = int.from_bytes(described[:2], "big"), int.from_bytes(described[6:8], "big")
    each = channels * ((bits + 7) // 8)
    if not common or not each or length > _BEFORE_AIFF or not first < size or first > _LONGEST_HEADER:
        return None
    if _is_chunk(raw, at + 8 + length, size):
        return None
    raw.seek(0)
    header = bytearray(raw.read(first))
    whole = min((size - first) // each, 0xFFFFFF00 // each)
    header[4:8] = (first - 8 + whole * each).to_bytes(4, "big")
    header[common + 10 : common + 14] = whole.to_bytes(4, "big")
    header[at + 4 : at + 8] = (_BEFORE_AIFF + whole * each).to_bytes(4, "big")
    return SizedSound(bytes(header), first, first + whole * each, 0)


def _sized_caf(raw: BinaryIO, size: int) -> SizedSound | None:
    at = 8
    for _ in range(_MOST_CHUNKS):
        head = _at(raw, at, 12)
        name, length = head[:4], int.from_bytes(head[4:], "big", signed=True)
        if len(head) < 12:
            return None
        if name == b"data":
            break
        at += 12 + max(length, 0)
    first = at + 12
    if not 0 <= length <= _BEFORE_CAF or first > _LONGEST_HEADER or size - first <= _BEFORE_CAF:
        return None
    if _is_chunk(raw, first + length, size, wide=True):
        return None
    raw.seek(0)
    header = raw.read(first)
    return SizedSound(header[:-8] + (size - first).to_bytes(8, "big"), first, size, 0)


def _is_chunk(raw: BinaryIO, at: int, size: int, *, wide: bool = False) -> bool:
    """Return whether a chunk's name and a length that fits stand at a byte."""
    head = _at(raw, at, 12 if wide else 8)
    name, length = head[:4], int.from_bytes(head[4:], "big")
    return name.isascii() and name.decode().isprintable() and at + len(head) + length <= size


def _at(raw: BinaryIO, at: int, count: int) -> bytes:
    if not 0 <= at < _FARTHEST:
        return b""
    raw.seek(at)
    return raw.read(count)
