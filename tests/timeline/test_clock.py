"""Exact conversion between seconds, frames and samples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.errors import TimelineError
from reactive.timeline.clock import (
    as_fps,
    format_fps,
    frame_count,
    frame_sample,
    frame_times,
    nearest_frame,
    nearest_frames,
    ntsc_note,
    parse_fps,
    sound_range,
    tick_positions,
)

RATES = [Fraction(24), Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(7500, 133), Fraction(60)]


@pytest.mark.parametrize("fps", RATES)
def test_rates_are_restored_from_text(fps: Fraction) -> None:
    assert parse_fps(format_fps(fps)) == fps


@pytest.mark.parametrize("text", ["0", "-24", "24/0", "abc", "1e3", "24fps", "", "1000", "nan", "24/1/1", "0.5"])
def test_invalid_rates_are_refused(text: str) -> None:
    with pytest.raises(TimelineError, match="frame"):
        parse_fps(text)


@pytest.mark.parametrize(
    ("rate", "exact"),
    [
        (24, "24"),
        (24.0, "24"),
        (23.976, "24000/1001"),
        (29.97, "30000/1001"),
        (30000 / 1001, "30000/1001"),
        (12.5, "25/2"),
        ("59.94", "60000/1001"),
        (Fraction(7500, 133), "7500/133"),
        (np.int64(25), "25"),
        (np.float64(29.97), "30000/1001"),
    ],
)
def test_rates_may_be_python_numbers(rate: int | float | str | Fraction, exact: str) -> None:
    assert as_fps(rate) == Fraction(exact)


@pytest.mark.parametrize("rate", [0, -24, 1000, float("nan"), float("inf"), True, "fast", Fraction(1, 2)])
def test_a_number_that_is_not_a_rate_is_refused(rate: int | float | str | Fraction) -> None:
    with pytest.raises(TimelineError, match="frame"):
        as_fps(rate)


def test_sound_covers_its_frames_and_reaches_the_end() -> None:
    fps = Fraction(24)
    song = {"frames": 25, "samples": 44_500, "sample_rate": 44_100}
    assert sound_range(0, 12, fps, **song) == (0, 22_050)
    assert sound_range(12, 25, fps, **song) == (22_050, 44_500)


@given(st.integers(1, 10**9), st.sampled_from([8000, 44100, 48000, 192000]), st.sampled_from(RATES))
def test_a_clip_covers_its_song_by_less_than_a_frame(samples: int, rate: int, fps: Fraction) -> None:
    frames = frame_count(samples, rate, fps)
    assert Fraction(samples, rate) <= frames / fps
    assert frames / fps - Fraction(samples, rate) < 1 / fps or frames == 1


@given(st.floats(0, 20_000), st.sampled_from(RATES))
def test_an_event_acts_within_half_a_frame(seconds: float, fps: Fraction) -> None:
    frame = nearest_frame(seconds, fps)
    assert abs(frame / fps - Fraction(seconds)) <= Fraction(1, 2) / fps
    assert abs(int(nearest_frames(np.array([seconds]), fps)[0]) - frame) <= (abs(seconds * float(fps) % 1 - 0.5) < 1e-6)


def test_nothing_drifts_over_three_hours() -> None:
    fps = Fraction(24000, 1001)
    frame = 3 * 3600 * 24
    assert frame_sample(frame, fps, 44100) == round(frame * 44100 / fps)
    assert frame_times(frame + 1, fps)[-1] == pytest.approx(float(frame / fps), abs=1e-9)


@given(
    st.integers(0, 500),
    st.integers(1, 300),
    st.sampled_from(RATES),
    st.integers(1, 60),
    st.lists(st.integers(0, 900), max_size=20),
)
def test_ticks_increase_span_the_shot_and_align_with_hits(
    start: int, length: int, fps: Fraction, rate: int, hits: list[int]
) -> None:
    stop = start + length
    ticks = tick_positions(start, stop, fps, Fraction(rate), np.array(sorted(set(hits)), int))
    assert ticks[0] == start
    assert ticks[-1] >= stop - 1
    assert len(ticks) == 1 or ticks[-2] < stop - 1
    assert all(a < b for a, b in zip(ticks, ticks[1:], strict=False))


def test_a_tick_moves_onto_a_hit() -> None:
    ticks = tick_positions(0, 48, Fraction(24), Fraction(12), np.array([11]))
    assert Fraction(11) in ticks


@pytest.mark.parametrize(
    ("text", "fps"),
    [
        ("23.976", "24000/1001"),
        ("23.98", "24000/1001"),
        ("29.97", "30000/1001"),
        ("47.952", "48000/1001"),
        ("59.94", "60000/1001"),
        ("119.88", "120000/1001"),
        ("24", "24"),
        ("24.0", "24"),
        ("2997/100", "2997/100"),
        ("12.5", "25/2"),
        ("29.5", "59/2"),
    ],
)
def test_29_97_means_the_exact_ntsc_rate(text: str, fps: str) -> None:
    assert parse_fps(text) == Fraction(fps)
    assert bool(ntsc_note(text)) == (Fraction(text) != Fraction(fps))
