"""Taps select one of the detected levels; where none matches, the steady tempo near them that fits the onsets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reactive.audio.corrections import NO_CORRECTIONS, Corrections, apply_corrections
from reactive.audio.taps import grid_from_taps, tap_period
from reactive.errors import GridError


def human(times: np.ndarray, seed: int = 1) -> list[float]:
    """Return times as a person taps them: 15 ms early, give or take 12."""
    return (times - 0.015 + np.random.default_rng(seed).normal(0, 0.012, len(times))).tolist()


@pytest.mark.parametrize("step", [1, 2, 0.5])
def test_taps_on_a_detected_level_select_it(beat_analysis: Any, step: float) -> None:
    beats = beat_analysis.beats
    period = float(np.median(np.diff(beats)))
    taps = human(beats[6] + period * step * np.arange(8))
    found = grid_from_taps(beat_analysis, NO_CORRECTIONS, taps)
    assert (found.half, found.double) == (step == 2, step == 0.5)
    assert found.bpm is None
    tempo = apply_corrections(beat_analysis, found).tempo
    assert tempo == pytest.approx(60 / period / step, rel=0.02)
    if step == 1:
        assert found == NO_CORRECTIONS


def test_taps_between_the_beats_move_the_grid(beat_analysis: Any) -> None:
    beats = beat_analysis.beats
    period = float(np.median(np.diff(beats)))
    found = grid_from_taps(beat_analysis, NO_CORRECTIONS, (beats[5:15] + period / 2).tolist())
    away = np.abs(apply_corrections(beat_analysis, found).beats[:, None] - beats[5:15] - period / 2).min(axis=0)
    assert away.max() < 0.02
    # tapping along again then changes nothing
    assert grid_from_taps(beat_analysis, found, human(beats[5:15] + period / 2)) == found


def test_a_tempo_that_was_not_detected_is_found_exactly(beat_analysis: Any) -> None:
    truth = 60 / 97.3
    times = 0.21 + truth * np.arange(25)
    onsets = beat_analysis.onsets["all"]
    song = replace(
        beat_analysis,
        onsets={"all": replace(onsets, times=times, strengths=np.ones(len(times)))},
        beats=np.arange(0, 16, 0.43),
        downbeats=np.arange(0, 16, 1.72),
    )
    found = grid_from_taps(song, Corrections(meter="3/4", half=True), human(times[4:16]))
    assert found.bpm == pytest.approx(97.3, abs=0.3)
    assert (found.half, found.meter) == (False, "3/4")
    beats = apply_corrections(song, found).beats
    assert np.abs(beats[:, None] - times).min(axis=0).max() < 0.025


def test_a_missed_tap_changes_nothing() -> None:
    times = 3 + 0.5 * np.array([0, 1, 2, 4, 5, 6, 9])
    assert tap_period(times.tolist()) == pytest.approx((0.5, 3.0))


@pytest.mark.parametrize("taps", [[], [1, 2, 3], [1, 1, 1, 1], [0, 0.5, 1.2, 1.4, 2.3, 2.6], [0, 9, 18, 27]])
def test_taps_without_a_tempo_are_refused(taps: list[float]) -> None:
    with pytest.raises(GridError):
        tap_period(taps)
