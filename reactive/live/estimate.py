"""Estimate the duration of the next piece of work: a running average of measurements that decays with time.

Without the decay, only new work could lower the average: if it predicts that everything would be late, no work is started
and it stays high. That froze a preview for 11 of 16 minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# weight of a new measurement; limit of an outlier as a factor of the estimate plus seconds (the machine may have slept);
# a second such measurement is not limited
WEIGHT, JUMP, GRACE = 0.3, 3.0, 1.0
# seconds without work in which the excess over the best average is halved
HALF_LIFE = 2.0


class Estimate:
    """The expected seconds of one kind of work.

    Parameters
    ----------
    seconds
        The estimate before the first measurement.
    clock
        Returns the time in seconds; default: `time.monotonic`.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or (lambda: time.monotonic())
        self._average = self._best = seconds
        self._measured = self._clock()
        self._last = seconds

    @property
    def seconds(self) -> float:
        """The current estimate: constant for the duration of the last measurement, then it decays towards the best."""
        return self._expected(self._clock())

    def took(self, seconds: float) -> None:
        """Record a piece of work that ends now; the estimate does not decay during the work."""
        now = self._clock()
        expected = self._expected(now - seconds)
        limited = min(seconds, max(JUMP * expected + GRACE, self._last))
        self._average = (1 - WEIGHT) * expected + WEIGHT * limited
        self._last = seconds
        self._best = min(self._best, self._average)
        self._measured = now

    def _expected(self, now: float) -> float:
        idle = max(0.0, now - self._measured - self._average)
        return self._best + (self._average - self._best) * 0.5 ** (idle / HALF_LIFE)
