"""Read beats that a person tapped or a program wrote: one time in seconds a line, with or without a label.

Sonic Visualiser, mir_eval and Audacity write such files. A label whose last number is 1 (``1``, ``12.1``) makes a
downbeat, if the file has other labels too.
"""

from __future__ import annotations

import math
import os
import re

from reactive.audio.corrections import MAX_BEATS, MAX_FILE_BYTES
from reactive.errors import GridError
from reactive.media.safe import regular_file


def read_beats(path: str | os.PathLike[str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return beats and downbeats in seconds, rising.

    Raises
    ------
    GridError
        If a line does not begin with a time, times do not rise, or there are fewer than two; the message has the line's number.
    MediaError
        If the file can't be opened.
    """
    checked = regular_file(path)
    if checked.stat().st_size > MAX_FILE_BYTES:
        raise GridError("is too large for a file of beats", where=str(path), remedy="give one time a line")
    try:
        lines = checked.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise GridError("is not text", where=str(path), remedy="give one time in seconds a line") from None
    times: list[float] = []
    labels: list[str] = []
    for number, line in enumerate(lines, start=1):
        parts = re.split(r"[,;\s]+", line.strip())
        if not parts[0] or parts[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        try:
            time = float(parts[0])
        except ValueError:
            raise GridError(f'"{parts[0][:40]}" is no time', where=where, remedy="give seconds, as 12.345") from None
        if not math.isfinite(time) or time < 0:
            raise GridError(f"{parts[0][:40]} is no time", where=where, remedy="give seconds from 0 up")
        if times and time <= times[-1]:
            raise GridError(f"{time:g} comes after {times[-1]:g}", where=where, remedy="sort the lines by time")
        if len(times) >= MAX_BEATS:
            raise GridError(f"has more than {MAX_BEATS} beats", where=str(path))
        times.append(time)
        labels.append(parts[-1] if len(parts) > 1 else "")
    if len(times) < 2:
        raise GridError("holds fewer than two beats", where=str(path), remedy="give one time in seconds a line")
    ones = [bool(re.search(r"(^|[^\d])0*1$", label)) for label in labels]
    downbeats = tuple(time for time, one in zip(times, ones, strict=True) if one) if not all(ones) else ()
    return tuple(times), downbeats
