"""Read the cue points of a WAV or RF64 file with their labels, or the markers of an AIFF, as DAWs export them. In seconds."""

from __future__ import annotations

import math
import os
import struct
from typing import IO

from reactive.errors import MediaError
from reactive.media.joined import behind_tags
from reactive.media.letters import names
from reactive.media.safe import regular_file

MAX_CUES = 10_000
# limit of a list of labels, in bytes
MAX_CHUNK_BYTES = 4 << 20
# a size that is in the chunk ds64 (EBU Tech 3306: RF64, BW64)
ELSEWHERE = 0xFFFFFFFF


def read_cues(path: str | os.PathLike[str]) -> tuple[tuple[float, str], ...]:
    """Return time and label of each cue point, by time; none if there are none.

    Raises
    ------
    MediaError
        If it is neither WAV nor AIFF, or is damaged.
    """
    checked = regular_file(path)
    rate = 0
    cues: dict[int, int] = {}
    labels: dict[int, bytes] = {}
    sizes: dict[bytes, int] = {}
    damaged = MediaError(
        "is not a WAV or AIFF file with markers", where=str(path), remedy="export a WAV with markers, or MIDI"
    )
    try:
        with checked.open("rb") as handle:
            handle.seek(behind_tags(handle, checked.stat().st_size))
            head = handle.read(12)
            if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
                return _aiff_markers(handle)
            if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
                raise damaged
            while len(chunk := handle.read(8)) == 8:
                name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
                begin = handle.tell()
                if size == ELSEWHERE and head[:4] != b"RIFF":
                    size = sizes.get(name, size)
                if name in (b"fmt ", b"cue ", b"LIST", b"ds64"):
                    body = handle.read(min(size, MAX_CHUNK_BYTES))
                    if name == b"ds64":
                        sizes = _long_sizes(body)
                    elif name == b"fmt ":
                        rate = struct.unpack_from("<I", body, 4)[0]
                    elif name == b"cue ":
                        count = min(struct.unpack_from("<I", body)[0], MAX_CUES)
                        for number in range(count):
                            key, _, _, _, _, sample = struct.unpack_from("<II4sIII", body, 4 + 24 * number)
                            cues[key] = sample
                    elif body[:4] == b"adtl":
                        labels |= _labels(body[4:])
                handle.seek(begin + size + size % 2)
    except (struct.error, OSError, OverflowError):
        raise damaged from None
    if not rate:
        raise damaged
    texts = dict(zip(labels, names(labels.values()), strict=True))
    return tuple(sorted((sample / rate, texts.get(key, "")) for key, sample in cues.items()))


def _aiff_markers(handle: IO[bytes]) -> tuple[tuple[float, str], ...]:
    """Return the markers of an AIFF (Audio Interchange File Format 1.3); its times count samples."""
    rate, found = 0.0, list[tuple[int, bytes]]()
    while len(chunk := handle.read(8)) == 8:
        name, size = chunk[:4], int.from_bytes(chunk[4:], "big")
        begin = handle.tell()
        if name == b"COMM":
            exponent, mantissa = struct.unpack_from(">HQ", handle.read(18), 8)
            rate = math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63) if exponent & 0x7FFF < 0x7FFF else 0.0
        elif name == b"MARK":
            body, at = handle.read(min(size, MAX_CHUNK_BYTES)), 2
            while at + 7 <= len(body) and len(found) < MAX_CUES:
                length = body[at + 6]
                found.append((int.from_bytes(body[at + 2 : at + 6], "big"), body[at + 7 : at + 7 + length]))
                # text and the byte of its length are even together
                at += 7 + length + (length + 1) % 2
        handle.seek(begin + size + size % 2)
    if not 0 < rate < math.inf:
        raise OverflowError
    texts = names(text for _, text in found)
    return tuple(sorted((sample / rate, text) for (sample, _), text in zip(found, texts, strict=True)))


def _long_sizes(body: bytes) -> dict[bytes, int]:
    """Return the sizes of chunks that are too large for four bytes: of the sound, and those of the table after it."""
    sizes = {b"data": struct.unpack_from("<Q", body, 8)[0]}
    count = struct.unpack_from("<I", body, 24)[0] if len(body) >= 28 else 0
    for number in range(min(count, (len(body) - 28) // 12)):
        name, size = struct.unpack_from("<4sQ", body, 28 + 12 * number)
        sizes[name] = size
    return sizes


def _labels(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 12 <= len(body):
        name, size = body[at : at + 4], int.from_bytes(body[at + 4 : at + 8], "little")
        if name == b"labl":
            found[int.from_bytes(body[at + 8 : at + 12], "little")] = body[at + 12 : at + 8 + size]
        at += 8 + size + size % 2
    return found
