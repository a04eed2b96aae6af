"""Work beside the main thread: what reads and writes files runs while the model loads and imagines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def beside(name: str, work: Callable[[Event], Result]) -> Iterator[Callable[[], Result]]:
    """Do work in a thread of its own while the block runs; yield what waits for its result and raises its errors.

    Parameters
    ----------
    name
        The thread's name.
    work
        Called with an event that is set when the block ends: the thread is waited for, so it has to stop soon then. An error
        of the block is raised before one of the work.
    """
    ended = Event()
    with ThreadPoolExecutor(1, thread_name_prefix=name) as pool:
        result = pool.submit(work, ended)
        try:
            yield result.result
        finally:
            ended.set()
