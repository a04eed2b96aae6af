"""By how many processor threads single pictures are computed: by all, or by one where other programs are busy.

torch splits each operation between all threads and waits for the last of them, hundreds of times a picture. Where another
program has a processor at that moment, the others wait for its turn to end. Measured on two processors with ember and a load
of 10: a single picture takes 0.7 to 2.5 s by two threads and 0.2 to 0.3 s by one; on a quiet machine two are half as fast again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reactive.diffusion.backend.parallel import one_thread

# a thread that needs so many times as long as its own processor time is interrupted by others
CROWDED = 2.0
# one that needs hardly longer is not; so often in a row, the machine is quiet
CALM, CALM_TIMES = 1.3, 5


class ThreadChoice:
    """Chooses between one thread and all by how much of its time a thread really gets.

    Parameters
    ----------
    clock, processor
        Tell the time, and this thread's processor time, in seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, processor: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock, self._processor = clock, processor
        # until it is known that the machine is quiet
        self.one = True
        self._in_row = 0

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Let this thread compute a single picture by as many threads as is best now."""
        began, used = self._clock(), self._processor()
        if self.one:
            with one_thread():
                yield
        else:
            yield
        self.took(self._clock() - began, self._processor() - used)

    def took(self, seconds: float, processor: float) -> None:
        """Take note of one picture: how long it took, and this thread's processor time."""
        if not self.one:
            self.one = seconds > CROWDED * processor
            return
        self._in_row = self._in_row + 1 if seconds < CALM * processor else 0
        if self._in_row == CALM_TIMES:
            self.one, self._in_row = False, 0
