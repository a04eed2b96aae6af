"""What decides a segment's pictures: the ground before counts where a double exposure shows it, and nowhere else."""

from __future__ import annotations

import numpy as np

from reactive.render.store.cache_keys import _content
from tests.toy import flat_timeline


def content(double: float, first: str) -> list[object]:
    timeline = flat_timeline(
        8, ground=np.repeat([0, 1], 4), detail=1.0, ground_double=double, grounds=("one.png", "two.png")
    )
    return _content(timeline, 4, 8, {0: first, 1: "two"}, {}, camera=None)


def test_the_ground_before_decides_a_double_exposure() -> None:
    assert content(0.5, "one") != content(0.5, "another")


def test_without_a_double_exposure_it_decides_nothing() -> None:
    assert content(0.0, "one") == content(0.0, "another")
