"""An estimate of how long the next piece of work takes: an average of measurements, which fades with time.

An average that only new work can lower is a trap: if it predicts that everything would be late, no work
begins and it is never lowered again. That froze a preview for 11 of 16 minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# the weight of a new measurement, and how far one may exceed the estimate (a machine may have slept);
# a second one like it is believed
WEIGHT, JUMP, GRACE = 0.3, 3.0, 1.0
# seconds without work in which half of what lies above the best average is forgotten
HALF_LIFE = 2.0


class Estimate:
    """The expected seconds of one kind of work.

    Parameters
    ----------
    seconds
        The estimate before the first measurement.
    clock
        Tells the time in seconds; `time.monotonic` where there is none.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or (lambda: time.monotonic())
        self._average = self._best = seconds
        self._told = self._clock()
        self._last = seconds

    @property
    def seconds(self) -> float:
        """The estimate now; after a measurement it stays for as long as that took, then it falls towards the best."""
        return self._expected(self._clock())

    def took(self, seconds: float) -> None:
        """Take note of one piece of work, which ends now; while it was being done nothing was forgotten."""
        now = self._clock()
        expected = self._expected(now - seconds)
        believed = min(seconds, max(JUMP * expected + GRACE, self._last))
        self._average = (1 - WEIGHT) * expected + WEIGHT * believed
        self._last = seconds
        self._best = min(self._best, self._average)
        self._told = now

    def _expected(self, now: float) -> float:
        idle = max(0.0, now - self._told - self._average)
        return self._best + (self._average - self._best) * 0.5 ** (idle / HALF_LIFE)
