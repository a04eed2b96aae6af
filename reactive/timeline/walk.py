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
# a loop closes within its last quarter, or within more of it if that would change the speed too much
EASED_SHARES = (0.25, 0.5, 1.0)
BEND = (-0.75, 1.5)


def harmonics_for(speed: np.ndarray, loops: list[tuple[int, int]], fps: Fraction) -> int:
    """Return M such that the period 2 M lies near the natural length of this song's loops.

    Then a loop is closed by a small change of its speed, however short the song is.
    """
    if not loops:
        return DEFAULT_HARMONICS
    length = float(np.mean([speed[a:b].sum() * frame_length(fps) for a, b in loops]))
    fewest, most = HARMONICS
    turns = max(1, round(length / (2 * most)))
    return int(np.clip(round(length / turns / 2), fewest, most))


def walk_of(
    speed: np.ndarray, loops: list[tuple[int, int]], harmonics: int, fps: Fraction, *, fixed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the walk, float64 [frames], and the speed that leads to it.

    ``walk[k] = walk[k-1] + speed[k] / fps``, from 0. In the last quarter of each closed loop the speed is eased, so that the
    frame after the loop is at a multiple of the period. A loop that can't be closed without a
    visible jump in speed stays open.

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
    fixed
        Frames that have been played already: their speed stays as it is, and only later frames are eased.
    """
    bent = speed.astype(np.float64)
    bent[fixed:] = np.clip(bent[fixed:], 0.0, MAX_SPEED)
    step = frame_length(fps)
    period = 2.0 * harmonics
    for first, stop in loops:
        if stop <= fixed:
            continue
        # frame k moves by speed[k]; the frame after the loop (`stop`) must be at a multiple of the period
        landing = min(stop, len(bent) - 1)
        total = float(bent[1 : landing + 1].sum() * step)
        for share in EASED_SHARES:
            eased = np.arange(max(first + round((landing - first) * (1 - share)) + 1, fixed), landing + 1)
            window = np.sin(np.pi * (np.arange(len(eased)) + 1) / (len(eased) + 1)) ** 2
            room = float((bent[eased] * window).sum() * step)
            bend = (period * max(round(total / period), 1) - total) / room if room > 1e-9 else np.inf
            if BEND[0] <= bend <= BEND[1]:
                bent[eased] += bent[eased] * window * bend
                break
    steps = bent * step
    steps[0] = 0.0
    return np.cumsum(steps), bent
