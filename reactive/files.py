"""Files of the house: written whole or not at all, hashed, and the name that they have while they are written.

Every file that a person or a later run reads is written through `replacing` or one of the two functions on top of it: it is
complete under a hidden name beside its place first, then renamed in one step. So a crash, a full disk or Ctrl-C leaves what
was there before.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# bytes of a file name on the file systems of today
LONGEST_NAME = 255
_ENDING = ".partial"
_counter = itertools.count()


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a hidden place beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Parameters
    ----------
    durable
        Whether the file must outlast a loss of power right afterwards (fsync of the file and its folder).

    Raises
    ------
    OSError
        If it can't be written; nothing half-written stays, and `path` is as it was.
    """
    partial = partial_path(path)
    try:
        yield partial
        if durable:
            flush_file(partial)
        os.replace(partial, path)
        if durable:
            flush_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file whole, with the permissions that the umask gives.

    Raises
    ------
    OSError
        If it can't be written; what was there before stays as it was.
    """
    with replacing(path, durable=durable) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text as UTF-8 with line feeds, whole; characters that UTF-8 can't hold (lone surrogates) become "?".

    Raises
    ------
    OSError
        If it can't be written; what was there before stays as it was.
    """
    write_bytes(path, text.encode("utf-8", "replace"), durable=durable)


def partial_path(path: Path) -> Path:
    """Return where a file is written before it is complete: hidden, beside it, another for each call, process and machine."""
    own = f".{socket.gethostname()[:32]}.{os.getpid()}.{next(_counter)}{_ENDING}"
    return path.with_name(f"{_hidden(path.name)}{own}")


def sweep_partials(path: Path) -> None:
    """Remove what killed processes left of a file that they were writing; only who may write the file may call it."""
    for left in path.parent.glob(f"{glob.escape(_hidden(path.name))}.*{_ENDING}"):
        left.unlink(missing_ok=True)


def _hidden(name: str) -> str:
    """Return a hidden name that leaves room for the rest."""
    return f".{_shortened(name, LONGEST_NAME - 80)}"


def name_beside(name: str, ending: str) -> str:
    """Return the name of a file that is kept beside another: its name and an ending, shortened where no disk would hold it."""
    return _shortened(name, LONGEST_NAME - len(os.fsencode(ending))) + ending


def _shortened(name: str, room: int) -> str:
    """Return a name of at most `room` bytes; of a longer one its beginning and a hash."""
    data = os.fsencode(name)
    if len(data) <= room:
        return name
    return f"{data[: room - 13].decode('utf-8', 'ignore')}~{hashlib.sha256(data).hexdigest()[:12]}"


def flush_file(path: Path) -> None:
    """Write a file's data to the disk (fsync)."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def flush_folder(folder: Path) -> None:
    """Make a rename in a folder outlast a loss of power; Windows does that by itself."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def cache_root() -> Path:
    """Return where what can be made again is kept: the folder that ``REACTIVE_CACHE`` names, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("REACTIVE_CACHE") or platformdirs.user_cache_dir("reactive", appauthor=False))


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, 64 hexadecimal digits.

    Raises
    ------
    OSError
        If it can't be read.
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
