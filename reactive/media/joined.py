"""Where one file ends and the next begins, in files that were put together byte by byte or stand behind an ID3 tag.

MPEG streams need no such list: their clock begins again, which `media/clock.py` sees. Nor does FLAC, which FFmpeg reads on.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

from reactive.media.ogg import ogg_starts

# more parts than this at the top of a file are fragments of a stream, which has one beginning
_MOST = 100_000
_FLAC_BEGINS = b"fLaC\x00\x00\x00\x22"
_FLV_BEGINS = re.compile(rb"FLV\x01[\x00-\x05]\x00\x00\x00\x09\x00\x00\x00\x00", re.DOTALL)
_EBML, _SEGMENT, _VOID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\xec"
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_TTA_HEADER, _TTA_FRAME = 22, 256 / 245
_WAVPACK_HEADER, _WAVPACK_INITIAL = 32, 1 << 11
_APE_HEADER = 32
_FARTHEST = 1 << 43
_ID3_FOOTER, _MOST_TAGS = 0x10, 16


def joined_links(path: Path) -> list[tuple[int, int]]:
    """Return (first byte, byte after the last) of each file in a row, or of the one behind a tag that does not belong there.

    Nothing for a file that is one and begins with its first byte, and for kinds that aren't looked into.
    """
    size = path.stat().st_size
    with path.open("rb") as raw:
        first = behind_tags(raw, size)
        head = _read(raw, first, 16)
        if head[:4] == b"OggS":
            starts = ogg_starts(raw, first)
        elif head[:4] == b"FLV\x01":
            starts = _found_starts(raw, first)
        else:
            kind = next((kind for kind in _KINDS if kind[0](head)), None)
            if kind is None:
                return []
            starts = _walked_starts(raw, first, size, *kind)
    return list(zip(starts, [*starts[1:], size], strict=True)) if starts not in ([], [0]) else []


def behind_tags(raw: IO[bytes], size: int) -> int:
    """Return the first byte behind all ID3v2 tags at a file's beginning (ID3v2.4.0, 3.1); 0 where it has none."""
    at = 0
    for _ in range(_MOST_TAGS):
        head = _read(raw, at, 10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) > 0x7F:
            return at
        # seven bits of each byte count
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at += 10 + length + (10 if head[5] & _ID3_FOOTER else 0)
        if at >= size:
            return 0
    return at


def holds_several_flacs(path: Path) -> bool:
    """Return whether a FLAC file is followed by another one; libsndfile stops at the first's end."""
    with path.open("rb") as raw:
        if raw.read(4) != _FLAC_BEGINS[:4]:
            return False
        with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(_FLAC_BEGINS, 4) > 0


def _found_starts(raw: IO[bytes], first: int) -> list[int]:
    """Return where each FLV file begins; between them are only packets, so they are looked for."""
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sorted({first, *(found.start() for found in _FLV_BEGINS.finditer(data, first))})


def _walked_starts(
    raw: IO[bytes],
    first: int,
    size: int,
    begins: Callable[[bytes], bool],
    end: Callable[[IO[bytes], int, int], tuple[int, ...]],
) -> list[int]:
    """Return where each file in a row begins, going from the end of one to the next."""
    starts = [first]
    while len(starts) < _MOST:
        for at in end(raw, starts[-1], size):
            if starts[-1] < at < size and begins(_read(raw, at, 16)):
                starts.append(at)
                break
        else:
            break
    return starts


def _read(raw: IO[bytes], at: int, count: int) -> bytes:
    # a damaged length may lead to where no file reaches
    if not 0 <= at < _FARTHEST:
        return b""
    raw.seek(at)
    return raw.read(count)


def _riff_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where a RIFF or IFF file may end: some programs leave out the byte that makes its length even."""
    head = _read(raw, at, 12)
    length = int.from_bytes(head[4:8], "big" if head[:4] == b"FORM" else "little")
    if length < 4:
        return ()
    return at + 8 + length, at + 8 + length + length % 2


def _avi_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where an AVI ends: beyond 1 GB it goes on in further RIFF chunks."""
    for _ in range(_MOST):
        head = _read(raw, at, 12)
        if head[:4] != b"RIFF" or head[8:] not in (b"AVI ", b"AVIX"):
            break
        length = int.from_bytes(head[4:8], "little")
        at += 8 + length + length % 2
        if _read(raw, at, 12)[8:] != b"AVIX":
            break
    return (at,)


def _boxes_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where an MP4 ends: at a file type after a whole movie."""
    whole = False
    for _ in range(_MOST):
        head = _read(raw, at, 16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        length = int.from_bytes(head[8:16], "big") if length == 1 else length
        if kind == b"ftyp" and whole:
            return (at,)
        whole = kind == b"moov" or (whole and kind != b"ftyp")
        if length < 8 or at + length >= size:
            break
        at += length
    return ()


def _matroska_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where a Matroska file ends: at the next file's header, also behind a segment that doesn't know its length."""
    begin = at
    for _ in range(_MOST):
        name, length, body = _element(raw, at)
        if at > begin and name not in (_SEGMENT, _VOID):
            break
        if length is None:
            return (_next_of(raw, _EBML, body),)
        at = body + length
    return (at,)


def _element(raw: IO[bytes], at: int) -> tuple[bytes, int | None, int]:
    """Return name, length and first byte of an element of EBML (RFC 8794); no length where it is unknown."""
    head = _read(raw, at, 12)
    named = 9 - head[0].bit_length() if head else 0
    rest = head[named:]
    sized = 9 - rest[0].bit_length() if rest else 0
    most = (1 << 7 * sized) - 1
    length = int.from_bytes(rest[:sized], "big") & most
    return head[:named], None if length == most else length, at + named + sized


def _next_of(raw: IO[bytes], name: bytes, at: int) -> int:
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(name, at)


def _caf_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where a Core Audio file ends (Apple Core Audio Format 1.0): at what is no chunk of its own."""
    at += 8
    for _ in range(_MOST):
        head = _read(raw, at, 12)
        if head[:4] == b"caff" or len(head) < 12:
            return (at,)
        length = int.from_bytes(head[4:], "big", signed=True)
        if length < 0:
            break
        at += 12 + length
    return ()


def _au_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    head = _read(raw, at, 12)
    offset, length = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:], "big")
    return (at + offset + length,) if 0 < length < 0xFFFFFFFF else ()


def _w64_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    length = int.from_bytes(_read(raw, at + 16, 8), "little")
    return at + length, at + length + -length % 8


def _tta_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where a True Audio file ends: behind as many frames as its table names."""
    head = _read(raw, at, _TTA_HEADER)
    rate, samples = (int.from_bytes(head[first : first + 4], "little") for first in (10, 14))
    frames = -(-samples // max(int(rate * _TTA_FRAME), 1))
    if frames > size // 4:
        return ()
    table = _read(raw, at + _TTA_HEADER, 4 * frames)
    lengths = [int.from_bytes(table[first : first + 4], "little") for first in range(0, len(table), 4)]
    end = at + _TTA_HEADER + 4 * frames + 4 + sum(lengths)
    return (end + _ape_tag(_read(raw, end, _APE_HEADER)),)


def _wavpack_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where a WavPack file ends: at a block that begins with its first sample, or behind it an APE tag."""
    begin = at
    while at < size:
        head = _read(raw, at, _WAVPACK_HEADER)
        if head[:4] == b"wvpk" and len(head) == _WAVPACK_HEADER:
            index, samples, flags = (int.from_bytes(head[first : first + 4], "little") for first in (16, 20, 24))
            if at > begin and samples and not index and not head[10] and flags & _WAVPACK_INITIAL:
                return (at,)
            at += 8 + max(int.from_bytes(head[4:8], "little"), _WAVPACK_HEADER - 8)
        elif length := _ape_tag(head):
            at += length
        else:
            break
    return ()


def _ape_tag(head: bytes) -> int:
    """Return the length of an APE tag, which leaves out its header; 0 if it is none."""
    return _APE_HEADER + int.from_bytes(head[12:16], "little") if head[:8] == b"APETAGEX" else 0


def _dsf_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    return (at + int.from_bytes(_read(raw, at + 12, 8), "little"),)


def _asf_end(raw: IO[bytes], at: int, size: int) -> tuple[int, ...]:
    """Return where an ASF file ends: at the next header object."""
    begin = at
    for _ in range(_MOST):
        head = _read(raw, at, 24)
        length = int.from_bytes(head[16:], "little")
        if (head[:16] == _ASF and at > begin) or length < 24:
            break
        at += length
    return (at,)


# what a kind of file begins with, and where such a file may end
_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[IO[bytes], int, int], tuple[int, ...]]], ...] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", _riff_end),
    (lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _riff_end),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", _avi_end),
    (lambda head: head[4:8] == b"ftyp", _boxes_end),
    (lambda head: head[:4] == _EBML, _matroska_end),
    (lambda head: head[:4] == b"caff", _caf_end),
    (lambda head: head[:4] == b".snd", _au_end),
    (lambda head: head == _W64, _w64_end),
    (lambda head: head[:4] == b"TTA1", _tta_end),
    (lambda head: head[:4] == b"wvpk", _wavpack_end),
    (lambda head: head[:4] == b"DSD ", _dsf_end),
    (lambda head: head == _ASF, _asf_end),
)
