"""The last steps of a clip that a place asks for: its sound at a loudness, and its file below a size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from reactive.errors import OutputError
from reactive.files import flush_file, partial_path
from reactive.render.settings import Settings
from reactive.video.codec import HARDWARE
from reactive.video.fitted import fit_size
from reactive.video.neutral import with_loudness
from reactive.video.segment import output_error


class Write(Protocol):
    """Writes the complete clip to a path; `whole` is called with the complete file before it has its name."""

    def __call__(self, out: Path, *, whole: Callable[[Path], None] | None = None) -> None:
        """Write it."""


def check_delivery(out: Path, settings: Settings) -> None:
    """Check before anything is rendered that a clip can be delivered as the settings say.

    Raises
    ------
    OutputError
        If its codec can't be brought below a size.
    """
    if settings.output.max_size and settings.encoding.codec not in ("h264", *HARDWARE):
        raise OutputError(
            f"can't limit {settings.encoding.codec}", where="--max-size", remedy="use --codec h264, or leave it out"
        )
    if settings.output.loop and settings.sources.timeline:
        raise OutputError("can't go with --timeline", where="--loop", remedy="leave one of the two out")


def deliver(write: Write, out: Path, settings: Settings, *, room: Path, whole: Callable[[Path], None]) -> None:
    """Write a clip with the loudness and below the size that the settings name; it appears only when it is complete.

    Parameters
    ----------
    write
        Writes the clip as it is.
    out
        The clip to write; an existing file is replaced at the last moment.
    settings
        Name loudness and size. A loop has no sound.
    room
        The folder for files in between, of which nothing stays.
    whole
        Called with the complete file just before it has its name.

    Raises
    ------
    ReactiveError
        If the size is too small for the clip, or it can't be written.
    """
    loudness = None if settings.output.loop else settings.output.loudness
    limit = settings.output.max_size
    if loudness is None and limit is None:
        write(out, whole=whole)
        return
    # two suffixes, so that a job that goes on after a crash sweeps them away
    stages = [room / f"whole.{name}{out.suffix}" for name in ("joined", "loud", "small")]
    partial = partial_path(out)
    try:
        last = stages[0]
        write(last)
        if loudness is not None:
            with_loudness(last, stages[1], target=loudness)
            last = stages[1]
        if limit is not None and last.stat().st_size > limit:
            fit_size(last, stages[2], limit)
            last = stages[2]
        shutil.copyfile(last, partial)
        flush_file(partial)
        whole(partial)
        os.replace(partial, out)
    except OSError as problem:
        raise output_error(out, problem) from None
    finally:
        for file in (*stages, partial):
            file.unlink(missing_ok=True)
