"""The number of lanes follows from the lengths of a timeline's shots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.render.workers.lane_count import LANE_COUNTS, filled, lane_lengths, lanes_for, rounds
from reactive.timeline.timeline import FEEDBACK
from tests.toy import flat_timeline


@pytest.mark.parametrize(
    ("lengths", "batch", "device", "shape"),
    [
        # loop-destroy and lift-off on the bundled song
        ([13] * 8, 16, "cuda", 8),
        ([49, 49, 49, 25], 16, "cuda", 4),
        ([49, 49, 49, 25], 8, "cpu", 4),
        ([169], 16, "cuda", 1),
        ([100] * 48, 32, "cuda", 16),
        ([100] * 40, 4, "cuda", 4),
        ([], 12, "cpu", 12),
    ],
)
def test_the_cheapest_lane_count(lengths: list[int], batch: int, device: str, shape: int) -> None:
    assert lanes_for(lengths, batch=batch, device=device) == shape


def test_rounds_and_their_occupancy() -> None:
    assert rounds([5, 3, 3], 2) == 6
    assert filled([5, 3, 3], 2) == 11 / 12
    assert filled([7], 4) == 0.25
    assert filled([], 4) == 0


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(1, 64), st.sampled_from(["cpu", "cuda"]))
def test_a_standard_lane_count_within_the_batch(lengths: list[int], batch: int, device: str) -> None:
    shape = lanes_for(lengths, batch=batch, device=device)
    assert shape in LANE_COUNTS
    assert shape <= batch
    assert max(lengths) <= rounds(lengths, shape) <= sum(lengths)
    # the order of the shots does not matter
    assert lanes_for(lengths[::-1], batch=batch, device=device) == shape


def test_lengths_are_those_of_the_whole_timeline() -> None:
    shot = [0] * 48 + [1] * 24 + [2] * 24
    source = [FEEDBACK] * 48 + [-1] * 24 + [FEEDBACK] * 24
    timeline = flat_timeline(96, shot=shot, source=source)
    # 12 a second at 24 frames: every other frame, and one at the end
    assert lane_lengths(timeline) == pytest.approx([24, 12], abs=1)
