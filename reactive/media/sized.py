"""Uncompressed files whose header states a wrong length: from a recorder that was switched off, or from a pipe.

libsndfile accepts a length of 0, or one that is too short, so such a file is read with a corrected header in front.
"""

from __future__ import annotations

from typing import BinaryIO

from reactive.media.riff import SizedSound, sized_wav

# values above these limits are treated as damage
_LONGEST_HEADER = 1 << 20
_MOST_CHUNKS = 1000
_MAX_OFFSET = 1 << 43
# bytes between chunk header and samples: offset and block size in AIFF, edit count in CAF
_AIFF_PREFIX, _CAF_PREFIX = 8, 4
# larger lengths stand for an unknown one in AU
_MAX_AU_LENGTH = 0xFFFFFF00


def sized_sound(raw: BinaryIO, size: int) -> SizedSound | None:
    """Return the byte range of the samples of a WAV or RF64 file, or of an AIFF, AU or CAF file with a wrong header.

    `size` is the number of bytes in the file.
    """
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
    first, announced = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    if not 24 <= first < min(size, _LONGEST_HEADER):
        return None
    present = size - first
    # several AU files may stand in a row
    is_too_short = present - announced > announced and _at(raw, first + announced, 4) != b".snd"
    if announced < _MAX_AU_LENGTH and not is_too_short:
        return None
    raw.seek(0)
    header = raw.read(first)
    length = min(present, _MAX_AU_LENGTH).to_bytes(4, "big")
    return SizedSound(header[:8] + length + header[12:], first, size, 0)


def _sized_aiff(raw: BinaryIO, size: int) -> SizedSound | None:
    """Return the byte range of an AIFF's samples if they are the last chunk and its stated length is 0."""
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
    first = at + 8 + _AIFF_PREFIX
    described = _at(raw, common + 8, 18)
    channels, bits = int.from_bytes(described[:2], "big"), int.from_bytes(described[6:8], "big")
    frame_bytes = channels * ((bits + 7) // 8)
    if not common or not frame_bytes or length > _AIFF_PREFIX or not first < size or first > _LONGEST_HEADER:
        return None
    if _is_chunk(raw, at + 8 + length, size):
        return None
    raw.seek(0)
    header = bytearray(raw.read(first))
    frames = min((size - first) // frame_bytes, 0xFFFFFF00 // frame_bytes)
    header[4:8] = (first - 8 + frames * frame_bytes).to_bytes(4, "big")
    header[common + 10 : common + 14] = frames.to_bytes(4, "big")
    header[at + 4 : at + 8] = (_AIFF_PREFIX + frames * frame_bytes).to_bytes(4, "big")
    return SizedSound(bytes(header), first, first + frames * frame_bytes, 0)


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
    if not 0 <= length <= _CAF_PREFIX or first > _LONGEST_HEADER or size - first <= _CAF_PREFIX:
        return None
    if _is_chunk(raw, first + length, size, wide=True):
        return None
    raw.seek(0)
    header = raw.read(first)
    return SizedSound(header[:-8] + (size - first).to_bytes(8, "big"), first, size, 0)


def _is_chunk(raw: BinaryIO, at: int, size: int, *, wide: bool = False) -> bool:
    """Return whether a chunk's name with a valid length stands at byte `at`; `wide` for CAF's 8-byte lengths."""
    head = _at(raw, at, 12 if wide else 8)
    name, length = head[:4], int.from_bytes(head[4:], "big")
    return name.isascii() and name.decode().isprintable() and at + len(head) + length <= size


def _at(raw: BinaryIO, at: int, count: int) -> bytes:
    if not 0 <= at < _MAX_OFFSET:
        return b""
    raw.seek(at)
    return raw.read(count)
