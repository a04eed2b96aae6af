"""Run a call in a thread that ends with it, so that the engine's thread alone keeps processors busy.

torch (by libgomp) gives each thread that ever computed with it a pool of helpers of its own, which lives as long as the
thread. Where the pools together are more than the processors, helpers no longer wait busily but sleep and are woken
for every small operation: on two processors a feedback tick of ember takes 95 ms instead of 60 as soon as a second
thread, long idle, has once loaded a model. So whatever else computes does so in passing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_passing(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what a call returns, run in a thread of its own; what it raises is raised here."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call(*arguments, **named))
        except BaseException as problem:
            outcome.set_exception(problem)

    # as a daemon: who interrupts a long loading does not wait for its end
    thread = threading.Thread(target=work, name="reactive-passing", daemon=True)
    thread.start()
    result = outcome.result()
    thread.join()
    return result
