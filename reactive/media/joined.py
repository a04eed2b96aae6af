"""Where one file ends and the next begins, in files that were put together byte by byte: Ogg, WAV, AIFF, MP4.

Others need no such list: what FFmpeg reads of MPEG, Matroska and FLAC goes on by itself.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import IO

from reactive.media.ogg import ogg_links

_AIFF = (b"AIFF", b"AIFC")
# more boxes than this at the top of an MP4 are fragments of a stream, which has one beginning
_MOST = 100_000
_FLAC_BEGINS = b"fLaC\x00\x00\x00\x22"


def joined_links(path: Path) -> list[tuple[int, int]]:
    """Return (first byte, byte after the last) of each file in a row; nothing for a kind of file that isn't looked into."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        head = raw.read(12)
        if head[:4] == b"OggS":
            return ogg_links(path)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            starts = _chunk_starts(raw, size, head[:4], (b"WAVE",), "little")
        elif head[:4] == b"FORM" and head[8:] in _AIFF:
            starts = _chunk_starts(raw, size, head[:4], _AIFF, "big")
        elif head[4:8] == b"ftyp":
            starts = _box_starts(raw, size)
        else:
            return []
    return list(zip(starts, [*starts[1:], size], strict=True))


def holds_several_flacs(path: Path) -> bool:
    """Return whether a FLAC file is followed by another one; libsndfile stops at the first's end."""
    with path.open("rb") as raw:
        if raw.read(4) != _FLAC_BEGINS[:4]:
            return False
        with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(_FLAC_BEGINS, 4) > 0


def _chunk_starts(raw: IO[bytes], size: int, name: bytes, kinds: tuple[bytes, ...], order: str) -> list[int]:
    """Return where each of some RIFF or IFF files in a row begins."""
    starts, at = [0], 0
    while True:
        raw.seek(at + 4)
        length = int.from_bytes(raw.read(4), "big" if order == "big" else "little")
        following = at + 8 + length
        for at in (following, following + length % 2):
            raw.seek(at)
            head = raw.read(12)
            if length >= 4 and head[:4] == name and head[8:] in kinds:
                starts.append(at)
                break
        else:
            return starts


def _box_starts(raw: IO[bytes], size: int) -> list[int]:
    """Return where each of some MP4 files in a row begins: at a file type after a whole movie."""
    starts, at, whole = [0], 0, False
    for _ in range(_MOST):
        raw.seek(at)
        head = raw.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        length = int.from_bytes(head[8:16], "big") if length == 1 else length
        if kind == b"ftyp" and whole:
            starts.append(at)
        whole = kind == b"moov" or (whole and kind != b"ftyp")
        if length < 8 or at + length >= size:
            break
        at += length
    return starts
