"""Run a call and let go of the processor threads that it gathered, so that the engine's thread alone keeps them busy.

torch (by libgomp) gives each thread that ever computed with it a pool of helpers of its own, which lives as long as the
thread. Where the pools together are more than the processors, helpers no longer wait busily but sleep and are woken
for every small operation: on two processors a feedback tick of ember takes 95 ms instead of 60 as soon as a second
thread, long idle, has once loaded a model. So whatever else computes does so in passing.
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
# of OpenMP's header: give everything back
_PAUSE_HARD = 2


def run_and_release_openmp_pool(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what a call returns; the calling thread's pool of helpers ends with it."""
    try:
        return call(*arguments, **named)
    finally:
        torch = sys.modules.get("torch")
        if torch is not None and (pause := _pause(Path(torch.__file__ or "").parent)) is not None:
            pause(_PAUSE_HARD)


@cache
def _pause(torch: Path) -> Any:
    """Return OpenMP's function that ends the calling thread's pool; None where torch brings no libgomp."""
    found = sorted((torch / "lib").glob("libgomp*.so*"))
    return getattr(ctypes.CDLL(str(found[0])), "omp_pause_resource_all", None) if found else None
