"""The rhythm benchmark's scores: wrong levels, wrong phases, wrong downbeats, intervals, and other programs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.beat_scores import beat_scores, bias_ms, interval, misheard
from benchmarks.ear_pieces import Known
from benchmarks.other_ears import hear_by, installed
from benchmarks.rhythm import COLUMNS, Ear, report, row_of
from tests.audio.songs import RATE, band, steady
from tests.toy import write_song

BEATS = 0.5 + np.arange(100) * 0.6
ONES = BEATS[::4]
MIDDLE = (BEATS[1:] + BEATS[:-1]) / 2


@pytest.mark.parametrize(
    ("found", "ones", "wrong"),
    [
        (BEATS, ONES, (False, False, False)),
        (BEATS + 0.02, ONES, (False, False, False)),
        (BEATS[::2], BEATS[::4], (True, False, False)),
        (BEATS[1::2], BEATS[1::4], (True, False, False)),
        (np.sort(np.concatenate([BEATS, MIDDLE])), ONES, (True, False, False)),
        (MIDDLE, MIDDLE[::4], (False, True, False)),
        (BEATS, BEATS[1::4], (False, False, True)),
        (np.arange(0, 60, 0.437), ONES, (False, False, False)),
    ],
    ids=["right", "a little late", "half", "half, off", "double", "off the beat", "wrong one", "nothing to do with it"],
)
def test_wrong_level_phase_and_downbeat_are_detected(
    found: np.ndarray, ones: np.ndarray, wrong: tuple[bool, bool, bool]
) -> None:
    assert misheard(BEATS, ONES, found, ones) == wrong


def test_scores_of_the_truth_are_perfect() -> None:
    assert beat_scores(BEATS, BEATS) == (1.0, 1.0, 1.0)
    assert beat_scores(BEATS, BEATS[::2])[1:] == (0.0, 1.0)
    assert np.isnan(beat_scores(BEATS[:1], BEATS)).all()
    assert bias_ms(BEATS, BEATS + 0.012) == pytest.approx(12)


def test_intervals_contain_the_mean_and_narrow_with_more_pieces() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 400)
    wide, narrow = interval(values[:20]), interval(values)
    assert wide[0] < values[:20].mean() < wide[1]
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert interval(values) == narrow
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_the_report_has_kinds_intervals_and_comparisons() -> None:
    pieces = [Known(kind, kind, Path("x.wav"), BEATS, ONES, None, None) for kind in ("pop", "rock")]
    good = np.array([row_of(piece, BEATS, ONES) for piece in pieces])
    bad = np.array([row_of(piece, BEATS[::2], BEATS[::4]) for piece in pieces])
    told = report(pieces, [Ear("reactive", good), Ear("other", bad)])
    assert len(good[0]) == len(COLUMNS)
    assert "pop, 1 pieces: reactive" in told
    assert "all, 2 pieces: other" in told
    assert "reactive has the higher F than other on 100% of the pieces" in told
    assert "F 1.000 to 1.000" in told


def test_another_program_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", band(steady(120, 12), seconds=12), RATE)
    assert installed("librosa", sys.executable)
    ((beats, downbeats),) = hear_by("librosa", [Path(song)], sys.executable)
    assert len(beats) > 10
    assert not len(downbeats)
    assert not installed("librosa", "/bin/false")
