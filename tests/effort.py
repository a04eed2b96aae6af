"""Limit the cost of code relative to this machine's speed: a slow or busy machine takes longer for both, so the ratio is stable.

One unit is a fixed piece of work in Python and in C, 50 to 70 ms on the machine where the limits were measured. Only the
calling thread's processor time counts.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def at_most(units: float) -> Iterator[None]:
    """Fail if the body of the `with` block costs more than `units` units."""
    one, began = unit(), time.thread_time()
    yield
    took = (time.thread_time() - began) / one
    assert took < units, f"{took:.0f} units of work, at most {units:g} were expected"


@cache
def unit() -> float:
    """Return the seconds of processor time that a unit of work takes here: the median of five."""
    return sorted(_timed() for _ in range(5))[2]


def _timed() -> float:
    began = time.thread_time()
    text = json.dumps({str(number): [number * 0.5] * 3 for number in range(3000)})
    total = 0
    for number in range(100_000):
        total += number % 7
    for _ in range(4):
        data = zlib.decompress(zlib.compress(text.encode(), 6))
        hashlib.sha256(data).digest()
        re.findall(r'"(\d+)": \[([\d., ]+)\]', text)
        json.loads(text)
    return time.thread_time() - began
