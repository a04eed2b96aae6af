"""Open a file so that its contents can't cause another file or address to be opened.

FFmpeg, called with a file name, follows references in the file: a playlist opens other files or the network. So names
are checked here, only regular files are opened, and FFmpeg gets an open file object and an allow-list of demuxers.
Untrusted texts are read here too: up to a size limit, UTF-8 only, without terminal control characters.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from reactive.errors import MediaError
from reactive.media.slices import FileSlices

if TYPE_CHECKING:
    import av.container

# Containers that hold their own data. Not: concat, hls, dash, image2, sdp, lavfi, which open other files or devices.
DEMUXERS = (
    "wav,w64,aiff,caf,au,flac,mp3,ogg,aac,ac3,eac3,mov,matroska,avi,mpegts,mpeg,flv,asf,amr,ape,wv,tta,aax,mpc,mpc8,"
    "gif,apng,webp_pipe,dsf,voc,mxf,dv,ivf,yuv4mpegpipe,dts,dtshd,truehd,tak,rm,nut,"
    "h264,hevc,mpegvideo,m4v,obu"
)
MAX_STREAMS = 64
# types of the first box of an MP4 or MOV
_FIRST_BOXES = (b"ftyp", b"wide", b"mdat", b"free", b"skip")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:(//|[^\\/])")
_TAG = re.compile(r"<\s*[/!?A-Za-z]")
# bidirectional control characters, which can make one name look like another
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def regular_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a Path after checking that it names a readable, non-empty regular file.

    Raises
    ------
    MediaError
        If it is an address, missing, a folder, a device, a pipe, empty or unreadable.
    """
    text = os.fspath(path)
    if _URL.match(text) and not Path(text).exists():
        raise MediaError("is an address, not a file", where=text, remedy="save it to disk first and name the file")
    try:
        status = os.stat(text)
    except (FileNotFoundError, NotADirectoryError):
        raise MediaError("no such file", where=text, remedy="check the name and the folder") from None
    except OSError as problem:
        raise MediaError(f"can't be read ({problem.strerror})", where=text, remedy="check the name") from None
    except ValueError:
        raise MediaError("is not a valid file name", where=text, remedy="check the name") from None
    if stat.S_ISDIR(status.st_mode):
        raise MediaError("is a folder, not a file", where=text, remedy="name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("is a device or a pipe, not a regular file", where=text, remedy="save it to disk first")
    if status.st_size == 0:
        raise MediaError("is empty (0 bytes)", where=text, remedy="export or copy it again")
    if not os.access(text, os.R_OK):
        raise MediaError("may not be read", where=text, remedy="change its permissions")
    return Path(text)


def read_bytes(path: str | os.PathLike[str], *, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises
    ------
    MediaError
        If it is not a readable regular file, or is larger.
    """
    checked = regular_file(path)
    try:
        with checked.open("rb") as handle:
            # checked while reading: the file may grow after its size was read
            data = handle.read(limit + 1)
    except OSError as problem:
        raise MediaError(f"can't be read ({problem.strerror})", where=str(path)) from None
    if len(data) > limit:
        raise MediaError(f"is larger than {limit:,} bytes", where=str(path), remedy="shorten it")
    return data


def read_text(path: str | os.PathLike[str], *, limit: int) -> str:
    """Return the text of a small file: UTF-8 (with or without a byte order mark), line ends as ``\\n``.

    Raises
    ------
    MediaError
        If it can't be read, is larger than `limit` bytes, is not UTF-8 or holds control characters.
    """
    try:
        text = read_bytes(path, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MediaError("is not UTF-8 text", where=str(path), remedy="save it as UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if plain(text, keep="\n\t") != text:
        raise MediaError("holds control characters", where=str(path), remedy="save it as plain text")
    return text


def plain(text: str, *, keep: str = "") -> str:
    """Return text without control and bidirectional characters, except those in `keep`."""
    return "".join(
        letter
        for letter in text
        if letter in keep
        or (unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") and letter not in _BIDI_CONTROLS)
    )


def fault_of(text: str, *, keep: str = "") -> str | None:
    """Return why an untrusted text must not be shown (``holds ...``), or None if it is plain text."""
    if plain(text, keep=keep) != text:
        return "holds control characters"
    return "holds HTML" if _TAG.search(text) else None


def _lacks_index(path: Path) -> bool:
    """Return whether an MP4 or MOV file ends before its index (the moov box)."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as raw:
        while at < size:
            raw.seek(at)
            head = raw.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            if (at == 0 and kind not in _FIRST_BOXES) or kind == b"moov" or length < 8:
                return False
            at += length
    return size > 0


@contextmanager
def open_container(
    path: Path,
    *,
    kind: str = "sound or video",
    remedy: str = "export it as WAV, FLAC, MP3, OGG or M4A",
    part: tuple[int, int] | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[av.container.InputContainer]:
    """Open a media file with FFmpeg without passing FFmpeg its name; errors say that it is not a `kind` file.

    `part` is the range of bytes to read (first, byte after the last); default: all. `options` go to the demuxer.

    Raises
    ------
    MediaError
        If no allowed demuxer recognises it, or it has too many streams.
    """
    # imported here because most commands about presets do not need FFmpeg
    import av
    import av.error

    checked = regular_file(path)
    handle: IO[bytes]
    with cast(IO[bytes], FileSlices(checked, [part])) if part else checked.open("rb") as handle:
        try:
            guards = {"format_whitelist": DEMUXERS, "protocol_whitelist": ""}
            container = av.open(handle, mode="r", options={**(options or {}), **guards})
        except (av.error.FFmpegError, ValueError, OSError):
            if part is None and _lacks_index(checked):
                raise MediaError(
                    "is cut short: the index that MP4 keeps at its end is missing",
                    where=str(path),
                    remedy="copy or download it again",
                ) from None
            raise MediaError(f"is not a {kind} file that can be read", where=str(path), remedy=remedy) from None
        with container:
            if len(container.streams) > MAX_STREAMS:
                raise MediaError(
                    f"has {len(container.streams)} streams", where=str(path), remedy="export only the sound"
                )
            yield container
