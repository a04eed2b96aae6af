"""Keep a clip within the limits of flashing: the share of each picture that is shown, computed frame by frame.

A picture that would cause one transition too many within a second (see `score/flash.py`) is mixed with the one shown
before it, with the largest share of the new one that causes no transition. The rest appears after the second has passed: a
cut too many becomes a dissolve, a strobe a faint flicker. A clip within the limits is not changed.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from reactive.score.flash import FlashState, Limits, first_state, next_state

# stricter than the limits of the check: encoding changes pictures slightly, and may move a transition by a frame
STRICT_LIMITS = Limits(swing=17.0, darker=170.0, hue=0.17, area=0.2, transitions=5)
# bisection steps for the largest share that fits
_STEPS = 5


class Limiter:
    """Computes for one picture after the other the share that may be shown; the same pictures give the same shares.

    Parameters
    ----------
    fps
        Frames a second.
    limits
        The limits of flashing.
    """

    def __init__(self, fps: Fraction, limits: Limits = STRICT_LIMITS) -> None:
        self.fps = fps
        self.limits = limits
        self.state: FlashState | None = None
        self.shown: np.ndarray | None = None

    def share(self, picture: np.ndarray) -> float:
        """Return the share, 0 to 1, of the next picture in the shown one; the rest is the one shown before.

        Parameters
        ----------
        picture
            The picture, uint8 [height, width, 3], scaled to the size of `flash.GRID`.
        """
        if self.state is None or self.shown is None:
            self.state, self.shown = first_state(picture), picture
            return 1.0
        after = next_state(self.state, picture, self.fps, self.limits)
        if self._fits(after):
            self.state, self.shown = after, picture
            return 1.0
        share, shown, step = 0.0, self.shown, 0.5
        # the shown picture has no transition, so share 0 always fits
        after = next_state(self.state, self.shown, self.fps, self.limits)
        for _ in range(_STEPS):
            trial = mixed(self.shown, picture, share + step)
            trial_state = next_state(self.state, trial, self.fps, self.limits)
            if self._fits(trial_state):
                share, shown, after = share + step, trial, trial_state
            step /= 2
        self.state, self.shown = after, shown
        return share

    def _fits(self, after: FlashState) -> bool:
        return all(watch.transitions <= self.limits.transitions for watch in (after.general, after.red))


def mixed(before: np.ndarray, picture: np.ndarray, share: float) -> np.ndarray:
    """Return `share` of a picture over the one before it, both uint8 [height, width, 3]."""
    if share >= 1:
        return picture
    blend = before.astype(np.float32) * np.float32(1 - share) + picture.astype(np.float32) * np.float32(share)
    return np.rint(blend).astype(np.uint8)
