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

# so many times as long as the quickest picture: a processor was taken away; so often in a row, it was not a larger picture
CROWDED, CROWDED_TIMES = 2.0, 2
# where one thread needs hardly more time than processor time it is not interrupted; so often in a row, the machine is quiet
CALM, CALM_TIMES = 1.3, 5
# by how much the quickest time is forgotten with each picture: another preset's pictures may take longer
FORGOTTEN = 1.02


class ThreadChoice:
    """Chooses between one thread and all from how long single pictures take.

    Parameters
    ----------
    clock, processor
        Tell the time, and this thread's processor time, in seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, processor: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock, self._processor = clock, processor
        self.one = False
        self._quickest = float("inf")
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
        if self.one:
            told, enough = seconds < CALM * processor, CALM_TIMES
        else:
            told, enough = seconds > CROWDED * self._quickest, CROWDED_TIMES
            self._quickest = min(FORGOTTEN * self._quickest, seconds)
        self._in_row = self._in_row + 1 if told else 0
        if self._in_row >= enough:
            self.one, self._in_row = not self.one, 0
