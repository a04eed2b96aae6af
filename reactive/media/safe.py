"""Open a file so that its contents can't make anything else be opened.

FFmpeg given a name may follow what the file says: a playlist opens its neighbours or the network. So names are checked
here, only regular files are opened, and FFmpeg gets an already opened file object and an allow-list of demuxers.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import av
import av.container
import av.error

from reactive.errors import MediaError

# Containers that hold their own data. Not: concat, hls, dash, image2, sdp, lavfi, which open other things.
DEMUXERS = (
    "wav,w64,aiff,caf,au,flac,mp3,ogg,aac,ac3,eac3,mov,matroska,avi,mpegts,mpeg,flv,asf,amr,ape,wv,tta,aax,mpc,mpc8,"
    "gif,webp_pipe,dsf,voc"
)
MAX_STREAMS = 64
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:(//|[^\\/])")


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
    except (OSError, ValueError) as problem:
        raise MediaError(f"can't be read ({problem})", where=text) from None
    if stat.S_ISDIR(status.st_mode):
        raise MediaError("is a folder, not a file", where=text, remedy="name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("is a device or a pipe, not a regular file", where=text, remedy="save it to disk first")
    if status.st_size == 0:
        raise MediaError("is empty (0 bytes)", where=text, remedy="export or copy it again")
    if not os.access(text, os.R_OK):
        raise MediaError("may not be read", where=text, remedy="change its permissions")
    return Path(text)


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def open_container(
    path: Path, *, kind: str = "sound or video", remedy: str = "export it as WAV, FLAC, MP3, OGG or M4A"
) -> Iterator[av.container.InputContainer]:
    """Open a media file by FFmpeg without giving FFmpeg its name; an error calls it no `kind` file.

    Raises
    ------
    MediaError
        If no allowed demuxer recognises it, or it has too many streams.
    """
    handle: IO[bytes]
    with regular_file(path).open("rb") as handle:
        try:
            container = av.open(handle, mode="r", options={"format_whitelist": DEMUXERS, "protocol_whitelist": ""})
        except (av.error.FFmpegError, ValueError, OSError):
            raise MediaError(f"is not a {kind} file that can be read", where=str(path), remedy=remedy) from None
        with container:
            if len(container.streams) > MAX_STREAMS:
                raise MediaError(
                    f"has {len(container.streams)} streams", where=str(path), remedy="export only the sound"
                )
            yield container
