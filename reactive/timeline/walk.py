"""The walk: the running sum of a speed that the music drives, closing on itself at the end of each loop.

One unit of walk decorrelates the picture. The noise path has M harmonics and the period 2 M (`diffusion/noise.py`); a
loop closes where the walk ends on a multiple of that.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from reactive.timeline.clock import frame_length

DEFAULT_HARMONICS = 16
HARMONICS = (4, 64)
MAX_SPEED = 20.0


def harmonics_for(speed: np.ndarray, loops: list[tuple[int, int]], fps: Fraction) -> int:
    """Return M such that the period 2 M lies near the natural length of this song's loops.

    A closing loop then needs its speed bent only a little, however short the song is.
    """
    if not loops:
        return DEFAULT_HARMONICS
    length = float(np.mean([speed[a:b].sum() * frame_length(fps) for a, b in loops]))
    fewest, most = HARMONICS
    turns = max(1, round(length / (2 * most)))
    return int(np.clip(round(length / turns / 2), fewest, most))


def walk_of(speed: np.ndarray, loops: list[tuple[int, int]], harmonics: int, fps: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """Return the walk, float64 [frames], and the speed that leads to it.

    ``walk[k] = walk[k-1] + speed[k] / fps``, from 0. In the last quarter of each closed loop the speed is eased, so that the
    frame after the loop stands on a multiple of the period.

    Parameters
    ----------
    speed
        Units a second, float64 [frames].
    loops
        Closed loops as (first frame, frame after the last), in order, not overlapping.
    harmonics
        M.
    fps
        Frames a second.
    """
    bent = np.clip(speed, 0.0, MAX_SPEED).astype(np.float64)
    step = frame_length(fps)
    period = 2.0 * harmonics
    for first, stop in loops:
        quarter = first + (stop - first) * 3 // 4
        # frame k moves by speed[k]; the frame after the loop (`stop`) is the one that has to land
        landing = min(stop, len(bent) - 1)
        last = np.arange(quarter + 1, landing + 1)
        window = np.sin(np.pi * (last - quarter) / (landing - quarter + 1)) ** 2
        total = float(bent[1 : landing + 1].sum() * step)
        room = float((bent[last] * window).sum() * step)
        if room <= 1e-9:
            continue
        least = total - 0.9 * room
        target = period * max(round(total / period), int(np.ceil(least / period)))
        bent[last] += bent[last] * window * ((target - total) / room)
    steps = bent * step
    steps[0] = 0.0
    return np.cumsum(steps), bent
