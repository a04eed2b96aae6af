"""Select the number of threads for single pictures: all, or one if other programs are busy.

torch splits each operation between all threads and waits for the last one, hundreds of times a picture. If another program
occupies a processor, all threads wait for its time slice to end. Measured on two processors with ember and a load of 10: a
single picture takes 0.7 to 2.5 s with two threads and 0.2 to 0.3 s with one; on an idle machine two threads are 1.5 times as
fast as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reactive.diffusion.backend.parallel import one_thread

# ratio of elapsed time to processor time above which a thread is considered interrupted by other programs
BUSY_RATIO = 2.0
# ratio below which it is not, and the number of such pictures in a row after which the machine counts as idle
IDLE_RATIO, IDLE_PICTURES = 1.3, 5


class ThreadChoice:
    """Selects one thread or all by the share of processor time that this thread gets.

    Parameters
    ----------
    clock, processor
        Return the time, and this thread's processor time, in seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, processor: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock, self._processor = clock, processor
        # the machine counts as busy at first
        self.one = True
        self._in_row = 0

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Set the number of threads for a single picture that is computed in this context."""
        began, used = self._clock(), self._processor()
        if self.one:
            with one_thread():
                yield
        else:
            yield
        self.took(self._clock() - began, self._processor() - used)

    def took(self, seconds: float, processor: float) -> None:
        """Record a picture's elapsed time and this thread's processor time."""
        if not self.one:
            self.one = seconds > BUSY_RATIO * processor
            return
        self._in_row = self._in_row + 1 if seconds < IDLE_RATIO * processor else 0
        if self._in_row == IDLE_PICTURES:
            self.one, self._in_row = False, 0
