"""The form of a song by its score: passages of the tune that come again are the same part."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.song_repeats import alike_bars, find_repeats, song_form
from training.ear.scores import Score

BAR = 2.0


def tune(order: str, *, bars: int = 8, silent: str = "", channel: int = 0) -> Score:
    """Return a song of parts of eight bars, each letter with a tune of its own; those in `silent` have none."""
    notes = []
    for number, letter in enumerate(order):
        rng = np.random.default_rng(ord(letter))
        for bar in range(bars):
            for slot in sorted(rng.choice(16, 5, replace=False)):
                start = BAR * (number * bars + bar + slot / 16)
                notes.append((start, 0.2, 60 + rng.integers(12), 80, 1 if letter in silent else channel))
    beats = np.arange(4 * bars * len(order)) * BAR / 4
    table = np.array(sorted(notes), float)
    return Score(table, np.zeros((0, 4)), beats, np.arange(0, len(beats), 4), "song")


@pytest.mark.parametrize(
    ("order", "form"), [("AXAYA", "ABACA"), ("XABAYB", "ABCBDC"), ("ABXAB", "ABA"), ("AABB", "AB"), ("ABCD", "A")]
)
def test_parts_are_those_that_come_again(order: str, form: str) -> None:
    marks, letters = song_form(tune(order))
    assert "".join(letters) == form
    assert len(marks) == len(letters) + 1
    starts = {BAR * 8 * number for number in range(len(order))}
    assert set(marks[:-1]) <= starts
    assert marks[-1] == pytest.approx(BAR * 8 * len(order), abs=BAR)


def test_bars_without_a_tune_are_like_none() -> None:
    alike = alike_bars(tune("AXXA", silent="X"))
    assert not alike[8:24].any()
    assert find_repeats(alike) == [(0, 24, 8)]


def test_played_a_little_late_it_is_the_same_tune() -> None:
    score = tune("XABAYB")
    moved = score.notes.copy()
    moved[:, 0] += np.random.default_rng(2).uniform(-0.03, 0.03, len(moved))
    late = Score(moved, score.controls, score.beats, score.opens, "late")
    assert song_form(late)[1] == song_form(score)[1]


def test_one_other_bar_does_not_end_a_repeat() -> None:
    alike = alike_bars(tune("ABAB"))
    alike[4, 20] = alike[20, 4] = False
    assert (0, 16, 16) in find_repeats(alike)
