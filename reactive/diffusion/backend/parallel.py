"""Many hands: on CPU a batch is shared out to threads that each compute their part alone.

torch's own way splits each operation between all processors and waits for the slowest of them, hundreds of times a
picture; small networks are waiting much of the time, and more so while an encoder takes a processor now and then. Parts of
a batch wait for each other once a batch. Measured on two processors with ember, 384x224: 41 pictures a second instead
of 36, and 38 instead of 30 beside an encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
# a part of fewer pictures wastes more than it gains
MIN_PART = 2


def part_count(batch: int, threads: int) -> int:
    """Return into how many equal parts a batch is split for so many processor threads."""
    return next(parts for parts in range(min(threads, max(batch // MIN_PART, 1)), 0, -1) if batch % parts == 0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let this thread compute alone meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class BatchSplitter:
    """Threads that each call a function on a part of a batch.

    Parameters
    ----------
    parts
        How many. With one, the caller's own thread does everything.
    threads
        Processor threads of all together, as `torch.set_num_threads` has it.
    """

    def __init__(self, parts: int, threads: int) -> None:
        self.parts = parts
        self.threads = threads
        self._pool = ThreadPoolExecutor(parts, "reactive-hand") if parts > 1 else None

    def run(self, call: Callable[[list[T]], tuple[torch.Tensor, ...]], items: Sequence[T]) -> tuple[torch.Tensor, ...]:
        """Return the tensors that `call` makes of each part of `items`, each put together again in order."""
        if self._pool is None:
            return call(list(items))

        def work(part: list[T]) -> tuple[torch.Tensor, ...]:
            torch.set_num_threads(max(self.threads // self.parts, 1))
            return call(part)

        size = len(items) // self.parts
        try:
            done = list(self._pool.map(work, [list(items[i * size : (i + 1) * size]) for i in range(self.parts)]))
        finally:
            # MKL's number is one for all threads, so it has to be what the caller is used to
            torch.set_num_threads(self.threads)
        # memory is the limit of copying, not the processor
        with one_thread():
            return tuple(torch.cat(parts) for parts in zip(*done, strict=True))
