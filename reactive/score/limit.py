"""Keep a clip within the limits of flashing: how much of each picture may be shown, decided in the order of the frames.

A picture that would make one transition too many within a second (see `score/flash.py`) is mixed with the one shown
before it, with as much of the new one as makes no transition. The rest appears as soon as the second has
passed: a cut too many becomes a dissolve, a strobe a faint flicker. A clip that keeps the limits is not touched.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from reactive.score.flash import FlashState, Limits, first_state, next_state

# stricter than the limits that are judged: encoding changes pictures a little, and may move a transition by a frame
STRICTER = Limits(swing=17.0, darker=170.0, hue=0.17, area=0.2, transitions=5)
# bisection steps for the largest share that fits
_STEPS = 5


class Limiter:
    """Decides, picture after picture, which share of each may be shown. Pure: the same pictures give the same shares.

    Parameters
    ----------
    fps
        Frames a second.
    limits
        The limits of flashing.
    """

    def __init__(self, fps: Fraction, limits: Limits = STRICTER) -> None:
        self.fps = fps
        self.limits = limits
        self.eye: FlashState | None = None
        self.shown: np.ndarray | None = None

    def share(self, picture: np.ndarray) -> float:
        """Return the share, 0 to 1, that the next picture has in what is shown; the rest is what was shown before.

        Parameters
        ----------
        picture
            The picture, uint8 [height, width, 3], brought to the size of `flash.GRID`.
        """
        if self.eye is None or self.shown is None:
            self.eye, self.shown = first_state(picture), picture
            return 1.0
        after = next_state(self.eye, picture, self.fps, self.limits)
        if self._fits(after):
            self.eye, self.shown = after, picture
            return 1.0
        share, shown, step = 0.0, self.shown, 0.5
        # the shown picture has no transition, so share 0 always fits
        after = next_state(self.eye, self.shown, self.fps, self.limits)
        for _ in range(_STEPS):
            trial = mixed(self.shown, picture, share + step)
            seen = next_state(self.eye, trial, self.fps, self.limits)
            if self._fits(seen):
                share, shown, after = share + step, trial, seen
            step /= 2
        self.eye, self.shown = after, shown
        return share

    def _fits(self, after: FlashState) -> bool:
        return all(watch.transitions <= self.limits.transitions for watch in (after.general, after.red))


def mixed(before: np.ndarray, picture: np.ndarray, share: float) -> np.ndarray:
    """Return `share` of a picture over the one before it, both uint8 [height, width, 3]."""
    if share >= 1:
        return picture
    whole = before.astype(np.float32) * np.float32(1 - share) + picture.astype(np.float32) * np.float32(share)
    return np.rint(whole).astype(np.uint8)
