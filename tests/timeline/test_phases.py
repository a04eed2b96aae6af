"""Placement of phases: dynamic programming finds the same as exhaustive search."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from reactive.timeline.phases import WRONG_LENGTH, _best_path
from tests.effort import within


def score(order: tuple[int, ...], gain: np.ndarray, bars: np.ndarray, change: np.ndarray, limits: np.ndarray) -> float:
    """Return the score of phases that start at the blocks `order`, the first at block 0."""
    total, edges = 0.0, [*order, len(bars)]
    for number, (begin, end) in enumerate(zip(edges, edges[1:], strict=False)):
        phase = number % len(gain)
        lasts = bars[begin:end].sum()
        short = 0.0 if end == len(bars) else max(0.0, limits[phase, 0] - lasts)
        total += gain[phase, begin:end].sum() - WRONG_LENGTH * (short + max(0.0, lasts - limits[phase, 1]))
        total += change[begin] if begin else 0.0
    return total


@pytest.mark.parametrize("seed", range(12))
def test_the_best_of_all_paths_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phases, blocks = int(rng.integers(1, 5)), 9
    bars = rng.choice([1.0, 2.0, 4.0], blocks)
    gain, change = rng.random((phases, blocks)) * bars, rng.choice([-4.0, 6.0], blocks)
    limits = np.sort(rng.integers(2, 40, (phases, 2)), axis=1).astype(float)
    found = _best_path(gain, bars, change, limits, whole=False)
    starts = (0, *(i for i in range(1, blocks) if found[i] != found[i - 1]))
    every = [(0, *rest) for count in range(blocks) for rest in combinations(range(1, blocks), count)]
    best = max(score(order, gain, bars, change, limits) for order in every)
    assert score(starts, gain, bars, change, limits) == pytest.approx(best)


def test_hours_of_music_are_fast() -> None:
    rng = np.random.default_rng(0)
    bars = np.full(3000, 4.0)
    # one more Python loop was 23 times as slow at 700 blocks, and grows with the square
    gains, changes, limits = rng.random((4, 3000)) * 4, rng.choice([-4.0, 6.0], 3000), np.array([[8.0, 4096.0]] * 4)
    order = within(150, lambda: _best_path(gains, bars, changes, limits, whole=False))
    assert len(order) == 3000
