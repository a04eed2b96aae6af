"""Read untrusted zip files strictly, so that no file can be read in two ways by two programs.

Only plain archives are accepted: entries that are stored or deflated, one after another from the
first byte on, then the central directory and its end. Everything about an entry is checked before a byte of it is written, and
what is unpacked can't exceed what was announced.
Source of the layout: PKWARE's APPNOTE 6.3.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import unicodedata
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from reactive.errors import PresetError
from reactive.media.safe import fault_of

MAX_ARCHIVE = 2_000_000_000
MAX_TOTAL = 2_000_000_000
MAX_FILES = 1000
# text may shrink to a hundredth; more means that the entry was built to fill a disk
MAX_RATIO = 200
MAX_NAME = 120
MAX_DEPTH = 4
CHUNK = 1 << 18
_END, _LISTED, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_END_SIZE, _LISTED_SIZE, _LOCAL_SIZE = 22, 46, 30
_STORED, _DEFLATED = 0, 8
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_REMEDY = "ask for a bundle written by `reactive preset pack`"


@dataclass(frozen=True)
class ZipEntry:
    """A file in an archive: its name, bytes unpacked and packed, method, CRC, and where its packed bytes begin."""

    name: str
    size: int
    packed: int
    method: int
    crc: int
    start: int


def name_fault(name: str) -> str | None:
    """Return what makes a file name unfit for a bundle (``is ...``), or None if every system can hold it."""
    parts = name.split("/")
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME or len(parts) > MAX_DEPTH:
        return "is empty, too long or too deep"
    if fault_of(name) or any(unicodedata.category(letter)[0] == "C" for letter in name):
        return "holds control characters or HTML"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's composed form"
    if any(letter in '\\:*?"<>|' for letter in name):
        return "holds a character that not every system allows in names"
    for part in parts:
        if part in ("", ".", "..") or part.startswith(".") or part != part.strip() or part.endswith("."):
            return "leads outside, is hidden, or ends in a dot or a space"
        if _RESERVED.fullmatch(part):
            return "is reserved on Windows"
    return None


def folded(name: str) -> str:
    """Return a form of a name that is equal for names that some system does not tell apart."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def collision(names: list[str]) -> str | None:
    """Return a name that clashes with another on some system (case, Unicode, a file where a folder is), or None."""
    spelled: dict[str, tuple[str, bool]] = {}
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            path, is_file = "/".join(parts[:depth]), depth == len(parts)
            found = spelled.setdefault(folded(path), (path, is_file))
            if found != (path, is_file) or (is_file and names.count(path) > 1):
                return name
    return None


def read_entries(handle: BinaryIO, *, where: str) -> tuple[ZipEntry, ...]:
    """Return the files of an archive in order, after checking everything that it says about them.

    Parameters
    ----------
    handle
        The archive, opened for reading and seekable.
    where
        How the archive is called in errors.

    Raises
    ------
    PresetError
        If it is not a plain zip file, or an entry is unsafe: its name, kind, size, position, encryption or method.
    """
    size = handle.seek(0, 2)
    if size > MAX_ARCHIVE:
        raise PresetError(f"is larger than {MAX_ARCHIVE:,} bytes", where=where, remedy="leave large videos out")
    count, listed, start = _end(handle, size, where)
    handle.seek(start)
    listing = handle.read(listed)
    entries: list[ZipEntry] = []
    position, offset = 0, 0
    for _ in range(count):
        if len(listing) - position < _LISTED_SIZE or listing[position : position + 4] != _LISTED:
            raise _damaged(where)
        fields = struct.unpack("<4s6H3L5H2L", listing[position : position + _LISTED_SIZE])
        flags, method, crc, packed, unpacked = fields[3], fields[4], fields[7], fields[8], fields[9]
        lengths, attributes, place = fields[10:13], fields[15], fields[16]
        after = position + _LISTED_SIZE
        name = _name(listing[after : after + lengths[0]], flags, where)
        _check_kind(name, flags, method, attributes, where)
        if place != offset:
            raise PresetError(f'its entry "{name}" overlaps another or leaves a gap', where=where, remedy=_REMEDY)
        begin = _local(handle, offset, fields, listing[after : after + lengths[0]], name, where)
        if method == _STORED and packed != unpacked:
            raise PresetError(f'its entry "{name}" lies about its size', where=where, remedy=_REMEDY)
        if unpacked > MAX_RATIO * packed + 1024:
            raise PresetError(f'its entry "{name}" is a zip bomb', where=where, remedy="do not open it")
        entries.append(ZipEntry(name, unpacked, packed, method, crc, begin))
        offset = begin + packed
        position = after + sum(lengths)
    if position != listed or offset != start:
        raise _damaged(where)
    _check_together(entries, where)
    return tuple(entries)


def unpack(handle: BinaryIO, entry: ZipEntry, target: BinaryIO, *, where: str) -> str:
    """Write one file of an archive to `target` and return the sha256 of its bytes.

    Raises
    ------
    PresetError
        If it holds more or fewer bytes than announced, or its checksum is wrong.
    """
    handle.seek(entry.start)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == _DEFLATED else None
    digest, crc, written, left = hashlib.sha256(), 0, 0, entry.packed
    try:
        while left > 0:
            raw = handle.read(min(CHUNK, left))
            if not raw:
                break
            left -= len(raw)
            # one byte more than announced is enough to refuse it
            data = inflater.decompress(raw, entry.size - written + 1) if inflater else raw
            written += len(data)
            if written > entry.size or (inflater and (inflater.unconsumed_tail or inflater.unused_data)):
                raise PresetError(f'its entry "{entry.name}" lies about its size', where=where, remedy=_REMEDY)
            crc = zlib.crc32(data, crc)
            digest.update(data)
            target.write(data)
    except zlib.error:
        raise PresetError(f'its entry "{entry.name}" is damaged', where=where, remedy="copy it again") from None
    if written != entry.size or left or (inflater and not inflater.eof):
        raise PresetError(f'its entry "{entry.name}" lies about its size', where=where, remedy=_REMEDY)
    if crc != entry.crc:
        raise PresetError(f'its entry "{entry.name}" is damaged (CRC)', where=where, remedy="copy it again")
    return digest.hexdigest()


def _end(handle: BinaryIO, size: int, where: str) -> tuple[int, int, int]:
    """Return the number of entries, and size and position of the central directory."""
    if size < _END_SIZE:
        raise _damaged(where)
    handle.seek(size - _END_SIZE)
    sign, disk, disk_listed, here, count, listed, start, comment = struct.unpack("<4s4H2LH", handle.read(_END_SIZE))
    # a comment could hide a second end and so a second directory
    if sign != _END or disk or disk_listed or here != count or comment or start + listed + _END_SIZE != size:
        raise _damaged(where)
    if not 1 <= count <= MAX_FILES or listed > MAX_FILES * (_LISTED_SIZE + 4 * MAX_NAME):
        raise PresetError(f"holds {count} files", where=where, remedy=f"a bundle holds 1 to {MAX_FILES}")
    return count, listed, start


def _name(raw: bytes, flags: int, where: str) -> str:
    try:
        name = raw.decode("utf-8" if flags & 0x800 else "ascii")
    except UnicodeDecodeError:
        raise PresetError("has a file name that is not UTF-8", where=where, remedy=_REMEDY) from None
    fault = name_fault(name)
    if fault:
        raise PresetError(f'its file name "{name[:60]}" {fault}', where=where, remedy="do not trust it")
    return name


def _check_kind(name: str, flags: int, method: int, attributes: int, where: str) -> None:
    # bits 0 and 6: encrypted; 13: masked. Bit 3: sizes follow the data, so they can't be checked before
    if flags & 0x2041:
        raise PresetError(f'its entry "{name}" is encrypted', where=where, remedy=_REMEDY)
    if flags & 0x08 or method not in (_STORED, _DEFLATED):
        raise PresetError(f'its entry "{name}" is packed in a way not known here', where=where, remedy=_REMEDY)
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG):
        raise PresetError(f'its entry "{name}" is a link or a device', where=where, remedy="do not trust it")


def _local(handle: BinaryIO, offset: int, listed: tuple[int, ...], raw: bytes, name: str, where: str) -> int:
    """Return where the bytes of an entry begin, after checking that its own header agrees with the directory."""
    handle.seek(offset)
    head = handle.read(_LOCAL_SIZE)
    if len(head) < _LOCAL_SIZE or head[:4] != _LOCAL:
        raise _damaged(where)
    fields = struct.unpack("<4s5H3L2H", head)
    same = (fields[2], fields[3], *fields[6:9]) == (listed[3], listed[4], *listed[7:10])
    if not same or handle.read(fields[9]) != raw:
        raise PresetError(f'its entry "{name}" is listed otherwise than it is', where=where, remedy="do not trust it")
    return offset + _LOCAL_SIZE + fields[9] + fields[10]


def _check_together(entries: list[ZipEntry], where: str) -> None:
    twice = collision([entry.name for entry in entries])
    if twice:
        raise PresetError(f'its file "{twice}" collides with another', where=where, remedy=_REMEDY)
    total = sum(entry.size for entry in entries)
    if total > MAX_TOTAL:
        raise PresetError(f"unpacks to {total:,} bytes", where=where, remedy=f"at most {MAX_TOTAL:,} are allowed")


def _damaged(where: str) -> PresetError:
    return PresetError("is no plain zip file", where=where, remedy="copy it again, or " + _REMEDY)
