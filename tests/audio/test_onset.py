from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.audio.onset import pick
from reactive.audio.spectrum import FRAMES_PER_SECOND

pytestmark = pytest.mark.fast
NEAR, AROUND = round(0.03 * FRAMES_PER_SECOND), round(0.1 * FRAMES_PER_SECOND)


def peaks_by_the_rule(strength: np.ndarray, threshold: float) -> list[int]:
    """Return what `librosa.util.peak_pick` finds, row by row: highest nearby, above the mean around, not soon after another."""
    found: list[int] = []
    for row, value in enumerate(strength):
        nearby = strength[max(row - NEAR, 0) : row + NEAR + 1]
        around = strength[max(row - AROUND, 0) : row + AROUND + 1].astype(float)
        soon = bool(found) and row - found[-1] <= NEAR
        if not soon and value == nearby.max() and value >= around.mean() + threshold:
            found.append(row)
    return found


# sixteenths, so that sums are exact and equal neighbours are common
@given(st.lists(st.integers(0, 16), min_size=1, max_size=120), st.sampled_from([0.125, 0.5]))
def test_peaks_are_those_of_the_rule(sixteenths: list[int], threshold: float) -> None:
    strength = np.array(sixteenths, np.float32) / 16
    expected = peaks_by_the_rule(strength, threshold) if strength.any() else []
    assert pick(strength, threshold=threshold).tolist() == expected


def test_clicks_are_found_where_they_are() -> None:
    strength = np.zeros(400, np.float32)
    strength[[0, 20, 21, 90, 399]] = [1, 0.5, 1, 0.3, 1]
    assert pick(strength).tolist() == [0, 21, 90, 399]
    assert pick(np.zeros(10, np.float32)).tolist() == []
