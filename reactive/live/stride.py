"""Select the share of the final frames that can be imagined in time: every one, five in six, three in four ...

The share falls at once when pictures are late and rises only after some time with spare capacity, so it does not oscillate.
"""

from __future__ import annotations

import math
import time
from fractions import Fraction

# frames per picture; small steps, so that a machine that almost keeps up does not drop to half its rate; large ones, which
# spread the pictures of a very slow machine evenly
STRIDES = (
    *(Fraction(6, n) for n in (6, 5)),
    *(Fraction(n, 6) for n in (8, 9, 12, 15, 18, 24, 36, 48, 72, 96, 144, 216, 288)),
)
# spare capacity: this factor of the rate that the next finer stride needs, for this many seconds
PLENTY_FACTOR, PLENTY_SECONDS = 1.08, 2.0
# at this factor of the needed rate strides are skipped: a busy machine has become free
SKIP_FACTOR = 1.5
# JPEG qualities, best first
QUALITIES = (90, 80, 68)


class StrideControl:
    """Selects the stride by the measured speed of the engine, and the JPEG quality by whether the page keeps up.

    Parameters
    ----------
    fps
        Frames a second of the clip.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.speed = 0.0
        self.level = STRIDES.index(Fraction(2))
        self.quality_level = 0
        self._plenty_since: float | None = None
        self._starved = 0

    @property
    def stride(self) -> Fraction:
        """Frames per imagined picture."""
        return STRIDES[self.level]

    def frames(self, first: int, last: int) -> list[int]:
        """Return the frames in [first, last) on the stride: its multiples, rounded up."""
        number = (first - 1) // self.stride + 1
        frames = []
        while (frame := math.ceil(number * self.stride)) < last:
            frames.append(frame)
            number += 1
        return frames

    @property
    def quality(self) -> int:
        """The JPEG quality."""
        return QUALITIES[self.quality_level]

    def imagined(self, pictures: int, seconds: float, now: float | None = None) -> None:
        """Record a batch: its number of pictures and its duration; a partial batch takes as long as a full one."""
        now = time.monotonic() if now is None else now
        speed = pictures / max(seconds, 1e-6)
        self.speed = speed if self.speed == 0 else 0.75 * self.speed + 0.25 * speed
        while self.level < len(STRIDES) - 1 and self.speed < 0.97 * self.fps / self.stride:
            self.level += 1
            self._plenty_since = None
        finer = STRIDES[self.level - 1] if self.level else None
        if finer is None or self.speed < PLENTY_FACTOR * self.fps / finer:
            self._plenty_since = None
        elif self._plenty_since is None:
            self._plenty_since = now
        elif now - self._plenty_since > PLENTY_SECONDS:
            self.level -= 1
            while self.level and self.speed > SKIP_FACTOR * self.fps / STRIDES[self.level - 1]:
                self.level -= 1
            self._plenty_since = None

    def delivered(self, waiting: bool) -> None:
        """Record whether a finished picture had to wait for the page."""
        self._starved = min(self._starved + 4, 400) if waiting else max(self._starved - 1, 0)
        if self._starved >= 200 and self.quality_level < len(QUALITIES) - 1:
            self.quality_level, self._starved = self.quality_level + 1, 0
        elif self._starved == 0 and self.quality_level:
            self.quality_level, self._starved = self.quality_level - 1, 100
