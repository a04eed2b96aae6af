"""Where shots begin and end: the one rule for all code that divides a clip.

A shot is a run of frames of one number in the column `shot`. For rendering they are divided further wherever the source changes, which
happens within a shot only in edited timelines. What people call a shot, one prompt on one picture, is a soft shot: a shot is
divided into them where a blend to another prompt begins, or the ground changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SoftShot:
    """Frames [start, stop) that show one prompt on one picture; until `settle` what was before it is blended out.

    `hard` says whether it begins with a cut.
    """

    start: int
    settle: int
    stop: int
    hard: bool


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


def soft_shots(columns: Mapping[str, np.ndarray], second: float) -> list[SoftShot]:
    """Return the soft shots of a timeline, in order.

    Parameters
    ----------
    columns
        The timeline's columns.
    second
        The frames of a second: where only the ground changes, the new shot settles within a half of it.
    """
    frames = len(columns["shot"])
    hard = set(shot_edges(columns, by_source=False)[:-1])
    soft = set((np.flatnonzero(np.diff(columns["prompt_to"])) + 1).tolist())
    # within a blend or a join the ground changes with the prompt
    mixed = (columns["weight"] > 0) & (columns["prompt_from"] != columns["prompt_to"])
    alone = ~mixed & (columns["dissolve"] == 0) & (columns["morph"] == 0)
    changed = np.flatnonzero(np.diff(columns["ground"])) + 1
    starts = sorted({*hard, *soft, *changed[alone[changed]].tolist()})
    found = []
    for start, stop in zip(starts, [*starts[1:], frames], strict=True):
        settled = np.flatnonzero(~mixed[start:stop])
        settle = start + int(settled[0]) if len(settled) else stop
        if settle == start and start not in hard:
            settle = start + max(1, min(round(second / 2), (stop - start) // 2))
        found.append(SoftShot(start, settle, stop, start in hard))
    return found
