"""Bars with numbers and times, and saved corrections that no longer fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reactive.audio.analysis import Analysis
from reactive.audio.bar_list import song_bars
from reactive.audio.corrections import Corrections, apply_corrections, save_corrections
from reactive.audio.fit import misfit, options_of, outcome
from tests.audio.test_corrections import heard  # noqa: F401

SHA, FILE = "0" * 64, "1" * 64


def test_bars_have_numbers_times_and_beats(heard: Analysis) -> None:  # noqa: F811
    bars = song_bars(heard)
    assert [bar.number for bar in bars] == list(range(1, len(bars) + 1))
    assert [bar.start for bar in bars] == pytest.approx(heard.downbeats)
    assert (bars[0].first_beat, bars[0].last_beat) == (1, 4)
    assert (bars[1].first_beat, bars[1].last_beat) == (5, 8)
    assert bars[-1].end == heard.duration


def test_the_printed_beat_becomes_the_one(heard: Analysis) -> None:  # noqa: F811
    third = song_bars(heard)[1].first_beat + 2
    moved = apply_corrections(heard, Corrections(downbeat=third))
    assert np.abs(moved.downbeats - heard.beats[third - 1]).min() < 1e-9
    numbers = [bar.first_beat for bar in song_bars(moved)]
    assert third in numbers


def test_a_song_without_a_beat_has_bars_without_beats(heard: Analysis) -> None:  # noqa: F811
    none = np.zeros(0)
    bars = song_bars(replace(heard, beats=none, downbeats=none, beats_per_bar=np.zeros(0, np.int64)))
    assert bars
    assert all(bar.first_beat == bar.last_beat == 0 for bar in bars)


@pytest.mark.parametrize(("shift", "stretch", "said"), [(0.0, 1.0, ""), (0.3, 1.0, '"one"'), (0.0, 2.0, "60.0 now")])
def test_a_correction_that_no_longer_fits_is_named(
    tmp_path: Path,
    heard: Analysis,  # noqa: F811
    shift: float,
    stretch: float,
    said: str,
) -> None:
    song, corrections = tmp_path / "w.wav", Corrections(downbeat=2)
    save_corrections(song, SHA, corrections, FILE, gave=outcome(apply_corrections(heard, corrections)))
    beats = heard.beats * stretch + shift
    later = replace(heard, beats=beats[beats < heard.duration], downbeats=heard.downbeats[:4] * stretch + shift)
    later = replace(later, beats_per_bar=np.full(4, 4))
    told = misfit(song, SHA, FILE, corrections, apply_corrections(later, corrections))
    assert said in told
    assert bool(told) == bool(said)
    if said:
        assert "--downbeat 2" in told
        assert "--forget-grid" in told
    # other corrections than those in the file are not compared with it
    assert misfit(song, SHA, FILE, Corrections(downbeat=3), later) == ""


def test_corrections_of_older_versions_are_not_compared(tmp_path: Path, heard: Analysis) -> None:  # noqa: F811
    corrections = Corrections(half=True)
    save_corrections(tmp_path / "w.wav", SHA, corrections, FILE)
    assert misfit(tmp_path / "w.wav", SHA, FILE, corrections, heard) == ""


def test_corrections_are_named_as_options() -> None:
    given = Corrections(bpm=87.5, half=True, downbeat=3, meter="3/4", sections=("C=chorus",))
    assert options_of(given) == "--bpm 87.5, --half, --downbeat 3, --meter 3/4"
