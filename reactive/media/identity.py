"""Files that belong to a song have the hash of its sound and of its file's bytes; older ones only the latter."""

from __future__ import annotations

import re
from pathlib import Path

from reactive.files import write_bytes
from reactive.media.sound import Track

# larger than any grid, shots file or take; very long timelines are not changed
LARGEST = 200 << 20


def carry_over(path: Path, track: Track) -> str:
    """Add the hash of a song's sound to an older file (JSON or TOML) that has only that of its bytes.

    Returns
    -------
    A sentence for the user; empty if there was nothing to do, or the file can't be written.
    """
    try:
        if path.stat().st_size > LARGEST:
            return ""
        data = path.read_bytes()
        if b"file_sha256" in data or track.file_sha256.encode() not in data:
            return ""
        old = re.compile(rb'("?)song_sha256\1(\s*[:=]\s*)"' + track.file_sha256.encode() + rb'"')

        def both(found: re.Match[bytes]) -> bytes:
            quote, sign = found[1], found[2]
            between = b"," if b":" in sign else b""
            names = ((b"song_sha256", track.sha256), (b"file_sha256", track.file_sha256))
            told = [quote + name + quote + sign + b'"' + digest.encode() + b'"' for name, digest in names]
            return (between + b"\n").join(told)

        new, count = old.subn(both, data, count=1)
        if not count:
            return ""
        write_bytes(path, new)
    except OSError:
        # it is still recognised as long as the song's file does not change
        return ""
    return f"{path.name} named this song by its file; it names its sound now, so that a new tag loses nothing."
