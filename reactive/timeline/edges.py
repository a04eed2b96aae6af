"""Where shots begin and end: the one rule for all code that divides a clip.

A shot is a run of frames of one number in the column `shot`. For rendering they are divided further wherever the source changes, which
happens within a shot only in edited timelines.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def shot_edges(columns: Mapping[str, np.ndarray], *, by_source: bool = True) -> list[int]:
    """Return the frames at which shots begin, rising from 0, and the number of frames as the last.

    Parameters
    ----------
    columns
        The timeline's columns.
    by_source
        Whether a shot also ends where the source changes.
    """
    shot, source = columns["shot"], columns["source"]
    changes = np.diff(shot) != 0
    if by_source:
        changes |= np.diff(source) != 0
    return [0, *(np.flatnonzero(changes) + 1).tolist(), len(shot)]


def shot_around(columns: Mapping[str, np.ndarray], frame: int) -> tuple[int, int]:
    """Return the frames [start, stop) that have the shot number of a frame."""
    shot = columns["shot"]
    start, stop = (int(np.searchsorted(shot, shot[frame], side=side)) for side in ("left", "right"))
    return start, stop
