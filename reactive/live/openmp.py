"""Run a call and free its OpenMP threads afterwards, so that only the engine's thread has a pool.

With libgomp, each thread that has ever computed with torch has its own pool of worker threads, which lives as long as the
thread. If the pools together exceed the processors, workers no longer spin but sleep and are woken for every small
operation: on two processors a feedback tick of ember takes 95 ms instead of 60 after another thread, now idle, has loaded a
model. So all other computing threads free their pools.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# omp_pause_hard of OpenMP's header: free all resources
_PAUSE_HARD = 2


def run_and_release_openmp_pool(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return the result of a call, and free the calling thread's pool of workers."""
    try:
        return call(*arguments, **named)
    finally:
        torch = sys.modules.get("torch")
        if torch is not None and (pause := _pause(Path(torch.__file__ or "").parent)) is not None:
            pause(_PAUSE_HARD)


@cache
def _pause(torch: Path) -> Any:
    """Return OpenMP's function that frees the calling thread's pool; None if torch has no libgomp."""
    found = sorted((torch / "lib").glob("libgomp*.so*"))
    return getattr(ctypes.CDLL(str(found[0])), "omp_pause_resource_all", None) if found else None
