"""An estimate of how long the next piece of work takes: an average of measurements, which fades with time.

An average that only new work can lower is a trap: if it predicts that everything would be late, no work
begins and it is never lowered again. That froze a preview for 11 of 16 minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# the weight of a new measurement, and how far one may exceed the estimate (a machine may have slept)
WEIGHT, JUMP, GRACE = 0.3, 3.0, 1.0
# seconds without a measurement after which half of the excess over the best average has faded
HALF_LIFE = 2.0


class Estimate:
    """The expected seconds of one kind of work.

    Parameters
    ----------
    seconds
        The estimate before the first measurement.
    clock
        Returns the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._average = self._best = seconds
        self._told = clock()

    @property
    def seconds(self) -> float:
        """The estimate now; after a measurement it stays for as long as that took, then it falls towards the best."""
        idle = max(0.0, self._clock() - self._told - self._average)
        return self._best + (self._average - self._best) * 0.5 ** (idle / HALF_LIFE)

    def took(self, seconds: float) -> None:
        """Add a measurement."""
        expected = self.seconds
        self._average = (1 - WEIGHT) * expected + WEIGHT * min(seconds, JUMP * expected + GRACE)
        self._best = min(self._best, self._average)
        self._told = self._clock()
