"""Limit the cost of code relative to this machine's speed: a slow or busy machine takes longer for both, so the ratio is stable.

One unit is a fixed piece of work in Python and in C, 50 to 70 ms on the machine where the limits were measured. Only the
calling thread's processor time counts. A collection of garbage, or a host that takes the core away, can fall into any one run and costs
seconds of a shared machine; so a run that is too dear is repeated, and the cheapest counts.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import zlib
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import pytest

from reactive.errors import ReactiveError

T = TypeVar("T")


RUNS = 3


def within(units: float, call: Callable[[], T]) -> T:
    """Return what `call` returns; fail if it costs more than `units` units each time, of three."""
    costs = []
    while len(costs) < RUNS:
        began = time.thread_time()
        result = call()
        costs.append((time.thread_time() - began) / unit())
        if costs[-1] < units:
            return result
    raise AssertionError(f"{min(costs):.0f} units of work, at most {units:g} were expected")


def refused_within(units: float, call: Callable[[], object]) -> str:
    """Return the message of the ReactiveError that `call` raises; fail if it raises none, or costs more than `units` units."""

    def refusal() -> str:
        with pytest.raises(ReactiveError) as caught:
            call()
        return str(caught.value)

    return within(units, refusal)


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
