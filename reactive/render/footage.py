"""How much moves in the films that are fed in, so that a timeline can cut them to the song."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reactive.diffusion.scene import MovingSource
from reactive.sources.footage import LOOKS_A_SECOND, movement_of
from reactive.timeline.films import Footage

# a film, or frames of one's own
Video = str | os.PathLike[str] | MovingSource


def footage_of(videos: Sequence[Video]) -> tuple[Footage | None, ...]:
    """Return how much moves in each film over time; None for frames of one's own, which follow the song's time themselves.

    Raises
    ------
    MediaError
        If a file can't be read as a film.
    """
    return tuple(_footage(Path(video)) if isinstance(video, str | os.PathLike) else None for video in videos)


def films_of(videos: Sequence[Video]) -> tuple[Path, ...]:
    """Return the files among videos up to the first that is frames of one's own: those have no words to choose them by."""
    found = []
    for video in videos:
        if not isinstance(video, str | os.PathLike):
            break
        found.append(Path(video))
    return tuple(found)


def _footage(path: Path) -> Footage:
    seconds, movement = movement_of(path)
    return Footage(seconds, LOOKS_A_SECOND, movement)
