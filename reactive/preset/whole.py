"""Write a small file so that it appears under its name only when it is complete."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, or leave what was there as it was. Who may read it is as the user's umask has it.

    Raises
    ------
    OSError
        If it can't be written; nothing is left behind.
    """
    # not of the module tempfile, whose files only their owner may read; short, since names have a longest length
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666), "wb") as handle:
            handle.write(data)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


_BINARY = getattr(os, "O_BINARY", 0)
